"""The same firmware on a 32-bit board: signing, formats and a meter read over its UART, under QEMU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.errors import BoardError
from hil.resources.virtual_board import VirtualBoard, make_flash
from ledger import cbor, reading
from provisioning.toolchain.virtual_board import find_board
from tests.firmware import vector_checks
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.board_application import run_application

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
SIGN_INPUT = VECTORS / "ed25519-sign-input-a.txt"
READING_VECTORS = VECTORS.parent / "reading-vectors.json"
SIGNED = 24
LIMIT_S = 60


@pytest.fixture(scope="module")
def board() -> Iterator[VirtualBoard]:
    """Give a running board without a line."""
    with VirtualBoard(find_board()) as running:
        yield running


def test_the_board_signs_like_sign_input_with_the_frozen_table_and_native_code(board: VirtualBoard) -> None:
    cases = [line.split(":") for line in SIGN_INPUT.read_text().splitlines()[:SIGNED]]
    source = f"""
import sys
from meter import ed25519, ed25519_table, sha512, sha512_viper
assert ed25519._POINTS is ed25519_table.POINTS and len(ed25519._POINTS) <= 48 * 1024
assert sha512.hash_blocks is sha512_viper.hash_blocks and sys.maxsize == 2**31 - 1
for secret, public, message in {[[secret[:64], public, message] for secret, public, message, _ in _four(cases)]}:
    seed = bytes.fromhex(secret)
    assert ed25519.public_key(seed).hex() == public
    print(ed25519.sign(seed, bytes.fromhex(message), bytes.fromhex(public)).hex())
"""
    assert board.run(source, LIMIT_S).split() == [signed[:128] for _, _, _, signed in _four(cases)]


def test_the_board_tells_a_false_signature_from_a_true_one(board: VirtualBoard) -> None:
    (secret, public, message, signed), *_ = _four([SIGN_INPUT.read_text().splitlines()[5].split(":")])
    source = f"""
from meter import ed25519
public, message, signature = [bytes.fromhex(text) for text in {[public, message, signed[:128]]}]
print(ed25519.verify(public, message, signature), ed25519.verify(public, message + b"!", signature))
"""
    assert board.run(source, LIMIT_S).split() == ["True", "False"], secret


def test_plain_and_native_sha512_agree_on_the_board_at_every_length_of_two_blocks(board: VirtualBoard) -> None:
    source = """
from meter import sha512, sha512_plain, sha512_viper
data = bytes([7 * place & 255 for place in range(250)])
for length in range(0, 250, 3):
    padded = data[:length] + b"\\x80" + bytes((111 - length) % 128) + (8 * length).to_bytes(16, "big")
    assert sha512_viper.hash_blocks(padded) == sha512_plain.hash_blocks(padded), length
print("agree")
"""
    assert board.run(source, LIMIT_S).strip() == "agree"


def test_the_board_encodes_and_decodes_what_the_ledger_does(board: VirtualBoard) -> None:
    value = [1, -1, 23, 24, 255, 256, 65535, 65536, 2**32, -(2**63), 2**64 - 1, b"ab", "µ", [None, True, False]]
    encoded = cbor.encode(value)
    source = f"""
from meter import cbor
data = {encoded!r}
assert cbor.decode(data) == {value!r}
print(cbor.encode(cbor.decode(data)).hex())
"""
    assert board.run(source).strip() == encoded.hex()


def test_readings_and_receipts_have_the_ledgers_bytes_on_the_board(board: VirtualBoard) -> None:
    vectors = json.loads(READING_VECTORS.read_text())
    checks = Path(vector_checks.__file__).read_text()
    files = f"import io\nFILE = {json.dumps(vectors)!r}\ndef open(path):\n    return io.StringIO(FILE)\n"
    count = len(vectors["readings"]) + len(vectors["receipts"])
    assert board.run(f"{files}{checks}\nprint(check_readings(''))", LIMIT_S).split() == [str(count)]


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


def _four(cases: list[list[str]]) -> list[tuple[str, str, str, str]]:
    return [(secret, public, message, signed) for secret, public, message, signed, *_ in cases]
