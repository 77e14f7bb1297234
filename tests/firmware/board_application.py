"""The whole application on the virtual board: its line, flash and clock are the board's, its broker is out of reach."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hil.resources.virtual_board import VirtualBoard, make_flash
from provisioning.toolchain.virtual_board import find_board
from tests.firmware.bench_meter import BenchMeter

LIMIT_S = 60
CONFIG = {
    "meter_id": "0011223344556677",
    "profile": "eastron_sdm120",
    "line": {"path": "uart", "baud": 9600, "parity": "none", "stop_bits": 1},
    "slave": 1,
    "broker": {"host": "gateway", "port": 8883, "ca": "ca.crt", "user": "meter", "password": "secret"},
    "gateway_keys": ["11" * 32],
    "campus_key": "22" * 32,
    "epoch_s": 2,
    "telemetry_s": 1,
    "data_dir": "/data",
    "drain_s": 0,
    "network": None,
    "time_servers": [],
}
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
