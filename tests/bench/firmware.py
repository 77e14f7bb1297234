"""What a reading costs the meter: a signature beside libsodium's and on a virtual 32-bit board; bytes on the wire."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.keys import PrivateKey
from provisioning.toolchain.micropython import find_micropython
from tests.bench import virtual_board
from tests.bench.measure import Row, at_most
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.device import Device

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "data" / "reading-vectors.json"
RUNS = 25
MESSAGE_BYTES = 130  # a boundary reading's Sig_structure
SIGN_RATIO_BAR = 400
SIGN_MS_BAR = 100
READING_BYTES_BAR = 180
BOUNDARY_MS_BAR = 100
EPOCH_S = 2
EPOCHS = 8
BOUNDARY_VECTOR = 1
PERIODIC_VECTOR = 3
SCRIPT = f"""
import json, sys, time
sys.path.insert(0, {str(ROOT / "firmware")!r})
from meter import ed25519
seed, message = bytes(range(32)), bytes({MESSAGE_BYTES})
public = ed25519.public_key(seed)
spent = []
for _ in range({RUNS}):
    start = time.ticks_us()
    ed25519.sign(seed, message, public)
    spent.append(time.ticks_diff(time.ticks_us(), start))
print(json.dumps(spent))
"""


def measure() -> Iterator[Row]:
    """Sign the same message in MicroPython and with libsodium, alternating; count on the board; time boundaries."""
    ours_us, theirs_us = [], []
    for _ in range(3):
        ours_us += _time_micropython_us()
        theirs_us += _time_libsodium_us()
    ratio = min(ours_us) / min(theirs_us)  # the least: other work on the machine only adds
    yield at_most("firmware.sign_ratio", round(ratio, 1), "ours/libsodium", SIGN_RATIO_BAR)
    yield at_most("firmware.sign_ms", round(min(ours_us) / 1000, 2), "ms", SIGN_MS_BAR)
    yield from virtual_board.measure()
    delays_ms = _time_boundaries_ms()
    yield at_most("firmware.boundary_delay_ms", max(delays_ms), f"ms, worst of {len(delays_ms)}", BOUNDARY_MS_BAR)
    readings: list[dict[str, Any]] = json.loads(VECTORS.read_text())["readings"]
    for name, place in (("boundary", BOUNDARY_VECTOR), ("periodic", PERIODIC_VECTOR)):
        size = len(readings[place]["envelope"]) // 2
        yield at_most(f"firmware.{name}_reading_bytes", size, "B", READING_BYTES_BAR)


def _time_micropython_us() -> list[int]:
    done = subprocess.run([find_micropython(), "-c", SCRIPT], check=True, capture_output=True, timeout=120)
    spent: list[int] = json.loads(done.stdout)
    return spent


def _time_boundaries_ms() -> list[int]:
    """Return how long after each boundary the request for the energy registers reached the meter."""
    with TemporaryDirectory() as name, BenchMeter(Path(name) / "tty") as meter:
        (Path(name) / "ca.crt").touch()
        device = Device(Path(name), epoch_s=EPOCH_S, telemetry_s=1)
        device.start()
        for _ in range(EPOCHS):
            device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
        device.kill()
        epochs = [event["epoch"] for event in device.of_kind("signed") if event["reason"] == "boundary"]
        return [_delay_ms(meter.request_times, epoch * EPOCH_S) for epoch in epochs[1:]]  # the first may be a start-up


def _delay_ms(request_times: list[float], boundary: int) -> int:
    return min(round(1000 * (moment - boundary)) for moment in request_times if moment >= boundary)


def _time_libsodium_us() -> list[float]:
    key, message = PrivateKey(bytes(range(32))), bytes(MESSAGE_BYTES)
    spent = []
    for _ in range(RUNS):
        start_ns = time.perf_counter_ns()
        key.sign(message)
        spent.append((time.perf_counter_ns() - start_ns) / 1000)
    return spent
