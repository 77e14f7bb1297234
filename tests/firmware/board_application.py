"""The whole application on the virtual board: with its own line and flash, or with a whole campus in its memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hil.errors import BoardError
from hil.resources.virtual_board import VirtualBoard, make_flash
from ledger import cbor, envelope
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from provisioning.toolchain.virtual_board import find_board
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.device import configuration
from tests.firmware.interpreters import install

LIMIT_S = 60
HEAP_BYTES = 140_032
"""All of the board's heap."""
OUTAGE, LONG_OUTAGE = 115, 220
"""Readings without a broker: more than one file of the journal holds, so that one is thinned; more than two, so that
what is left of one is trimmed when its receipts come."""
EVERYTHING = {"startup", "boundary", "periodic", "thinned", "configuration", "configured", "receipted"}
COUNT = "import gc\ngc.collect()\nprint(gc.mem_alloc())"
GATEWAY, CAMPUS = PrivateKey(b"\x07" * 32), PrivateKey(b"\x0c" * 32)
CONFIG = configuration(epoch_s=2, data_dir="/data", drain_s=0)
SCRIPT = """
import asyncio, gc, json, time
from meter.board import qemu as board
from meter.service import Service

board.prepare()
with open("/config.json", "w") as file:
    file.write(CONFIG)
board.seed_random(b"a test")
time.set_ms(1795000001500)  # half a second before a boundary
meter = Service(board, "/config.json")
signed, heap = [], []

def emit(event):
    if event["event"] == "signed":
        signed.append(event["reason"])
        gc.collect()
        heap.append(gc.mem_alloc())
        if len(signed) == READINGS:
            meter.stop()

board.emit = emit
gc.collect()
asyncio.run(meter.run())
parts = meter._parts
kept = [sealed.hex() for _, sealed in parts.journal.pending(0, 100)]
print(json.dumps({"signed": signed, "live": max(heap), "kept": kept, "key": parts.key.public.hex()}))
"""


def run_application(readings: int) -> dict[str, Any]:
    """Let the board take so many readings of an SDM120; return what it signed and kept, its key, its heap."""
    values = f"CONFIG = {json.dumps(CONFIG)!r}\nREADINGS = {readings}\n"
    with tempfile.TemporaryDirectory() as name, BenchMeter(Path(name) / "tty") as meter:
        meter.set_float(72, 1234.5)
        with VirtualBoard(find_board(), line=meter.path, flash=make_flash(Path(name) / "flash")) as board:
            found: dict[str, Any] = json.loads(board.run(values + SCRIPT, LIMIT_S))
    return found


def carry_off(outage: int, heap_bytes: int = HEAP_BYTES) -> dict[str, Any]:
    """Let a meter on the board go through an outage and what follows, its wires ending in its own memory.

    It has *heap_bytes*, without what those other ends take, or as much as there is. Returns how often it saw what;
    raises BoardError where it cannot go on.
    """
    keys = {"gateway_keys": [GATEWAY.public_key.hex()], "campus_key": CAMPUS.public_key.hex()}
    config = json.dumps({**CONFIG, **keys, "epoch_s": 900, "telemetry_s": 10})
    fields = [int(Kind.CONFIGURATION), bytes.fromhex(str(CONFIG["meter_id"])), 1, 10, [GATEWAY.public_key], None]
    message = envelope.seal(cbor.encode(fields), CAMPUS)
    with VirtualBoard(find_board()) as board:
        alone = int(board.run(f"from meter import service\nfrom meter.board import qemu\n{COUNT}"))
        install(board, "tests.firmware.null_campus")
        campus = int(board.run(f"from tests.firmware.null_campus import live\n{COUNT}")) - alone
        occupied = max(0, HEAP_BYTES - campus - heap_bytes)
        source = f"print(json.dumps(live('/config.json', {config!r}, {outage}, {message!r}, {occupied})))"
        found: dict[str, Any] = json.loads(board.run(source, LIMIT_S))
    if found["fault"]:
        raise BoardError(f"the meter on the virtual board went into safe mode: {found['fault']}")
    seen: dict[str, Any] = found["seen"]
    return seen


def least_heap() -> int:
    """Return the smallest heap, to the KB, in which a meter goes through all that: its high-water mark.

    Raises BoardError where all that the board has is not enough.
    """
    carry_off(LONG_OUTAGE)
    enough, too_small = HEAP_BYTES // 1024, HEAP_BYTES // 4 // 1024
    while enough - too_small > 1:
        middle = (enough + too_small) // 2
        if _fits(middle):
            enough = middle
        else:
            too_small = middle
    return 1024 * enough


def _fits(heap_kb: int) -> bool:
    try:
        return carry_off(LONG_OUTAGE, 1024 * heap_kb).keys() >= EVERYTHING
    except BoardError:
        return False


def journal_wear(readings: int) -> dict[str, int]:
    """Return what journalling so many readings does to a flash like an ESP32's."""
    with VirtualBoard(find_board()) as board:
        install(board, "tests.firmware.null_campus")
        source = f"from tests.firmware.null_campus import write_journal\nprint(json.dumps(write_journal({readings})))"
        found: dict[str, int] = json.loads(board.run(source, LIMIT_S))
    return found
