"""What only a board has: its UART, its flash, the power that goes. What it answers is in `test_interpreters.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.errors import BoardError
from hil.resources.virtual_board import VirtualBoard, make_flash
from ledger import reading
from provisioning.toolchain.virtual_board import find_board
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.board_application import EVERYTHING, HEAP_BYTES, OUTAGE, carry_off, run_application
from tests.firmware.conftest import Tell

LIMIT_S = 60


@pytest.fixture(scope="module")
def board() -> Iterator[VirtualBoard]:
    """Give a running board without a line."""
    with VirtualBoard(find_board()) as running:
        yield running


def test_the_board_signs_with_the_table_in_its_flash_and_with_native_code(board: VirtualBoard) -> None:
    source = """
import sys
from meter import ed25519, ed25519_table, field, field_viper, sha512, sha512_viper
assert ed25519._POINTS is ed25519_table.POINTS and len(ed25519._POINTS) <= 48 * 1024
assert sha512.hash_blocks is sha512_viper.hash_blocks and field.multiply is field_viper.multiply
assert sys.maxsize == 2**31 - 1
print("so it is")
"""
    assert board.run(source).strip() == "so it is"


def test_registers_are_read_over_the_boards_uart(bench_meter: BenchMeter) -> None:
    source = """
import asyncio, json
from meter.board import qemu
from meter.config import Line as Settings
from meter.line import Line
line = Line(Settings("uart", 9600, "none", 1), qemu)
async def read():
    words = []
    for address in (72, 74, 12):
        words.append((await line.read(1, 4, address, 2)).hex())
    return words
print(json.dumps(asyncio.run(read())))
"""
    with VirtualBoard(find_board(), line=bench_meter.path) as board:
        words = json.loads(board.run(source, LIMIT_S))
    expected = [bench_meter.words[address] << 16 | bench_meter.words[address + 1] for address in (72, 74, 12)]
    assert [int(text, 16) for text in words] == expected


def test_the_meter_on_the_boards_line_is_named_at_its_prompt(bench_meter: BenchMeter) -> None:
    bench_meter.words |= {64512: 305, 64513: 29_511, 64514: 0x0020}
    with VirtualBoard(find_board(), line=bench_meter.path) as board:
        printed = board.run("import meter\nfound = meter.probe(slave=1)", LIMIT_S).splitlines()
    assert printed[1] == "model          Eastron SDM120"
    assert printed[3] == f"serial number  {305 << 16 | 29_511}"


JOURNAL = """
from meter import reading
from meter.board import qemu_flash
from meter.board.folder import Directory, Disk
from meter.envelope import Key, digest
from meter.journal import Journal
qemu_flash.mount("/")
disk = Disk()
journal = Journal(*[Directory(name, disk) for name in ("/log", "/archive", "/state")])
"""


def test_what_the_board_signed_is_in_its_flash_after_the_power_went(tmp_path: Path) -> None:
    flash = make_flash(tmp_path / "flash")
    sign = """
key = Key(bytes(range(32)))
while True:
    sequence, previous = journal.link()
    taken = reading.Reading(sequence, 5, 0, 0, None, reading.PERIODIC, None, ((180, 1), (280, 2)), 0, previous)
    sealed = reading.seal(taken, key)
    journal.append(sequence, reading.PERIODIC, sealed)
    print(sealed.hex())
"""
    with VirtualBoard(find_board(), flash=flash) as board:
        signed = board.run_until(JOURNAL + sign, lines=12, limit_s=LIMIT_S)
    with VirtualBoard(find_board(), flash=flash) as board:
        found = board.run(JOURNAL + "for _, sealed in journal.pending(0, 100): print(sealed.hex())", LIMIT_S).split()
    assert found[: len(signed)] == signed
    assert len(found) <= len(signed) + 1  # the one that was being told


def test_the_whole_application_signs_and_keeps_readings_on_the_board() -> None:
    found = run_application(readings=4)
    assert found["signed"][0] == "startup"
    assert found["signed"].count("boundary") >= 2
    kept = [reading.decode(bytes.fromhex(raw)) for raw in found["kept"]]
    assert [one.sequence for one in kept] == [1, 2, 3, 4]
    assert all(one.is_signed_by(bytes.fromhex(found["key"])) and one.register(180) == 1_234_500 for one in kept)


def test_a_backlog_with_all_kinds_of_readings_drains_within_the_heap_of_a_small_board(tell: Tell) -> None:
    seen = carry_off(OUTAGE)
    assert seen.keys() >= EVERYTHING
    tell(
        f"RV32 board: an outage of {OUTAGE} readings, thinned once, then receipted, in {HEAP_BYTES // 1024} KB of heap"
    )


def test_without_a_random_source_no_key_is_made(board: VirtualBoard) -> None:
    source = """
from meter.board import qemu
from meter.errors import ConfigError
try:
    qemu.random_bytes(32)
except ConfigError as error:
    print(error)
qemu.seed_random(b"a test")
assert qemu.random_bytes(40) != qemu.random_bytes(40)
"""
    assert "seed_random" in board.run(source)


def test_a_fault_on_the_board_arrives_with_its_traceback(board: VirtualBoard) -> None:
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        board.run("1 // 0")
    assert board.run("print('still here')").strip() == "still here"
