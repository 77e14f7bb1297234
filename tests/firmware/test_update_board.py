"""Updates on the virtual 32-bit board: images in NOR flash, power that is cut, the application booted from a ROMFS."""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
import pytest

from hil.resources.virtual_board import VirtualBoard, make_flash
from provisioning import image
from provisioning.signed_update import sign
from provisioning.toolchain.virtual_board import find_board
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.board_application import CONFIG
from tests.firmware.conftest import Tell
from tests.firmware.updates import CAMPUS, METER, make_update

SECTOR_BYTES = 256 * 1024
SLOTS = {0: 64 * SECTOR_BYTES, 1: 66 * SECTOR_BYTES}
"""Where in the flash the slots begin (`meter/board/qemu_image.py`)."""
LIMIT_S = 60
SETTINGS = CONFIG | {"campus_key": CAMPUS.public_key.hex()}
START = f"""
import json
from meter import manifest, slots, update
from meter.board import qemu as board
from meter.errors import MalformedError
board.prepare()
class config:
    meter_id = bytes.fromhex({METER.hex()!r})
    campus_key = bytes.fromhex({CAMPUS.public_key.hex()!r})
said = []
def say(version, state):
    said.append("%d %s" % (version, state))
found = slots.of_board(board, "/data")
running = found.next_boot()
updater = update.Updater(found, running, config, board, say)
updater.start()
"""
TAKE = """
for message in MESSAGES:
    updater.take(message)
    print(said)
print("done")
"""


def test_a_power_cut_while_an_update_comes_in_leaves_a_board_that_starts_and_goes_on(
    tmp_path: Path, tell: Tell
) -> None:
    flash = make_flash(tmp_path / "flash")
    update = make_update(1, pieces=3, target="qemu")
    messages = [update.manifest, *update.pieces]
    for cut in range(1, 4):
        with VirtualBoard(find_board(), flash=flash) as board:
            board.run_until(START + f"MESSAGES = {messages[:3]}" + TAKE, lines=cut, limit_s=LIMIT_S)
    with VirtualBoard(find_board(), flash=flash) as board:
        printed = board.run_until(START + f"MESSAGES = {messages}" + TAKE, lines=4, limit_s=LIMIT_S)
        assert printed[-1].endswith("'1 trial']")
    assert b"".join(cbor2.loads(piece)[3] for piece in update.pieces) == read_flash(flash, 0, 3 * 2048 - 40 * 32)
    with VirtualBoard(find_board(), flash=flash) as board:
        source = START + "print(running, updater.version)\nupdater.note_receipt()\nprint(said)\nwhile True: pass"
        assert board.run_until(source, lines=2, limit_s=LIMIT_S) == ["0 1", "['1 trial', '1 confirmed']"]
    with VirtualBoard(find_board(), flash=flash) as board:
        assert board.run(START + "print(running, found.state.confirmed)", LIMIT_S).split() == ["0", "0"]
    tell("virtual board: 5 power cuts while an update came in or was confirmed")


def read_flash(flash: Path, slot: int, count: int) -> bytes:
    """Return the first bytes of a slot."""
    with flash.open("rb") as file:
        file.seek(SLOTS[slot])
        return file.read(count)


def lay_into_flash(flash: Path, slot: int, data: bytes) -> None:
    """Put an image into the flash, as it is after its last piece."""
    with flash.open("r+b") as file:
        file.seek(SLOTS[slot])
        file.write(data)


@pytest.mark.parametrize("damage", [False, True])
def test_the_application_boots_from_a_slot_in_flash_and_an_image_on_trial_goes_when_its_boots_are_used_up(
    tmp_path: Path, damage: bool
) -> None:
    flash = make_flash(tmp_path / "flash")
    built = image.build("qemu", 3)
    update = sign(built, METER, CAMPUS, 60)
    lay_into_flash(flash, 0, built.data)
    files = {"/config.json": json.dumps(SETTINGS).encode(), "/seed": b"a test"}
    store = "".join(f"with open({name!r}, 'wb') as file: file.write({data!r})\n" for name, data in files.items())
    with VirtualBoard(find_board(), flash=flash) as board:
        printed = board.run(START + store + f"updater.take({update.manifest!r})\nprint(said)", LIMIT_S)
        assert printed == "['3 trial']\n"
    if damage:
        lay_into_flash(flash, 0, built.data[:90_000] + b"\0\0\0\0")
    versions = [start(flash, tmp_path / f"tty{place}") for place in range(4)]
    assert versions == ([0] * 4 if damage else [3, 3, 3, 0])


def start(flash: Path, line: Path) -> int:
    """Boot the board, let it be a meter, and cut its power; return the version that it started."""
    source = "import time\ntime.set_ms(1795000000700)\nimport meter\nmeter.run()"
    with BenchMeter(line) as meter, VirtualBoard(find_board(), line=meter.path, flash=flash) as board:
        lines = board.run_until(source, lines=2, limit_s=LIMIT_S)
    told, started = map(json.loads, lines)
    assert (told["event"], told["version"], started["event"]) == ("update", 3, "started")
    return int(started["version"])
