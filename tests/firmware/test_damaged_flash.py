"""The start on the virtual board whose flash has lost bits: it measures, or says why not; it never fails or hangs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from hil.resources.virtual_board import VirtualBoard, make_flash
from provisioning.toolchain.virtual_board import find_board
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.board_application import CONFIG, LIMIT_S

READINGS = 3
FLIPS = 12
OUTCOMES = ("signed", "safe", "unfit", "unmounted")
"""unfit: neither configuration nor copy are there any more, and nobody to report to."""
START = """
import asyncio, json, time
from meter import last_good
from meter.board import qemu as board
from meter.errors import UnfitError
from meter.service import Service

events = []

def emit(event):
    events.append(event)
    if event["event"] == "safe" or len([one for one in events if one["event"] == "signed"]) == READINGS:
        meter.stop()

board.seed_random(b"a test")
board.emit = emit
time.set_ms(1795000001500)
try:
    board.prepare()
except OSError as error:
    events.append({"event": "unmounted"})
else:
    if FIRST:
        with open("/config.json", "w") as file:
            file.write(CONFIG)
    meter = Service(board, "/config.json")
    try:
        asyncio.run(meter.run())
    except UnfitError:
        events.append({"event": "unfit"})
    asyncio.run(meter.finish())
    if FIRST:
        last_good.keep(board, "/config.json")
print(json.dumps(events))
"""


def start(flash: Path, line: Path, *, is_first: bool = False) -> list[dict[str, Any]]:
    """Boot a board with *flash* and *line*; return the meter's events up to a few readings, or to safe mode."""
    values = f"CONFIG = {json.dumps(CONFIG)!r}\nFIRST = {is_first}\nREADINGS = {READINGS if is_first else 1}\n"
    with VirtualBoard(find_board(), line=line, flash=flash) as board:
        events: list[dict[str, Any]] = json.loads(board.run(values + START, LIMIT_S))
    return events


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the flash of a meter that has worked."""
    folder = tmp_path_factory.mktemp("used")
    flash = make_flash(folder / "flash")
    with BenchMeter(folder / "tty") as meter:
        events = start(flash, meter.path, is_first=True)
    assert [event["event"] for event in events].count("signed") == READINGS
    return flash.read_bytes()


def outcome(content: bytes, folder: Path) -> dict[str, Any]:
    """Start a meter whose flash has *content*; return the event that says what came of it."""
    flash = folder / "flash"
    flash.write_bytes(content)
    with BenchMeter(folder / "tty") as meter:
        events = start(flash, meter.path)
    flash.unlink()
    return next(event for event in events if event["event"] in OUTCOMES)


def damaged(content: bytes, mark: bytes, *, count: int | None = None) -> bytes:
    """Return *content* with one bit flipped in each place, or the first *count*, where *mark* stands."""
    parts = content.split(mark)
    assert len(parts) > (count or 1)
    broken = bytes([mark[0] ^ 1]) + mark[1:]
    for place in range(len(parts) - 1):
        parts[place] += broken if count is None or place < count else mark
    return b"".join(parts)


def test_a_meter_whose_flash_is_whole_goes_on(used: bytes, tmp_path: Path) -> None:
    assert outcome(used, tmp_path)["event"] == "signed"


def test_a_damaged_configuration_leads_to_safe_mode(used: bytes, tmp_path: Path) -> None:
    copies = used.count(b'{"meter_id"')
    assert copies == 2
    for count in (1, 2):
        found = outcome(damaged(used, b'"meter_id"', count=count), tmp_path)
        assert (found["event"], found["reason"]) == ("safe", "configuration"), found
        assert found["text"] == "/config.json: not valid JSON"


def test_a_damaged_reading_does_not_keep_the_meter_from_measuring(used: bytes, tmp_path: Path) -> None:
    envelope_head = b"\x84\x4d\xa2\x01\x27\x04\x48"
    found = outcome(damaged(used, envelope_head, count=2), tmp_path)
    assert found["event"] == "signed"
    assert found["sequence"] > READINGS


def test_a_flash_without_its_file_system_is_never_formatted_anew(used: bytes, tmp_path: Path) -> None:
    assert outcome(damaged(used, b"littlefs"), tmp_path) == {"event": "unmounted"}


@pytest.mark.parametrize("seed", range(4))
def test_bits_lost_anywhere_end_in_no_crash_and_no_hang(used: bytes, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(used)
    written = [place for place in range(0, len(used), 64) if used[place : place + 64] != b"\xff" * 64]
    for place in chance.sample(written, min(FLIPS, len(written))):
        content[place + chance.randrange(64)] ^= 1 << chance.randrange(8)
    assert outcome(bytes(content), tmp_path)["event"] in OUTCOMES
