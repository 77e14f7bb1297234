"""What the firmware's tests share: real MicroPython, a real broker, a meter on a pseudo terminal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.keys import PrivateKey
from provisioning.toolchain.micropython import find_micropython
from tests.firmware import summary
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import METER_ID, Device
from tests.firmware.gateway import Gateway

FIRMWARE = Path(__file__).parents[2] / "firmware"
SCRIPT_LIMIT_S = 60
sys.path.insert(0, str(FIRMWARE))  # the firmware's modules are not installed: they are `meter.…` below firmware/

from tests.firmware.virtual_time import VirtualLoop, verify_fast  # noqa: E402

RunScript = Callable[..., str]
Tell = Callable[[str], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return a function that puts a line of text into the summary at the end of the run."""
    return lambda text: record_property(summary.TRIED, text)


@pytest.fixture
def run_script() -> RunScript:
    """Return a function that runs Python source under real MicroPython, and gives its output."""

    def run(source: str, *arguments: str) -> str:
        paths = [str(FIRMWARE), str(Path(__file__).parent)]
        source = f"import sys\nsys.path[:0] = {paths!r}\nARGUMENTS = {list(arguments)!r}\n" + source
        done = subprocess.run(
            [find_micropython(), "-c", source], check=False, capture_output=True, text=True, timeout=SCRIPT_LIMIT_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    """Give a loop in virtual time, where signatures are checked in C."""
    monkeypatch.setattr("meter.ed25519.verify", verify_fast)
    running = VirtualLoop()
    asyncio.set_event_loop(running)
    yield running
    for task in asyncio.all_tasks(running):
        task.cancel()
    running.run_until_complete(asyncio.sleep(0))
    running.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def bench_meter(tmp_path: Path) -> Iterator[BenchMeter]:
    """Give an SDM120 with 1234.567 kWh import on `tmp_path/tty`."""
    with BenchMeter(tmp_path / "tty") as meter:
        meter.set_float(0, 230.5)
        meter.set_float(12, -1500.0)
        meter.set_float(72, 1234.567)
        meter.set_float(74, 77.25)
        yield meter


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a running broker."""
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def gateway_key() -> PrivateKey:
    """Give the gateway's receipt key."""
    return PrivateKey(b"\x07" * 32)


@pytest.fixture
def gateway(broker: Broker, gateway_key: PrivateKey) -> Iterator[Gateway]:
    """Give a gateway that stores and receipts."""
    with Gateway(broker, METER_ID, gateway_key) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, broker: Broker, gateway_key: PrivateKey, bench_meter: BenchMeter) -> Iterator[Device]:
    """Give an enrolled meter, not yet running, on the bench meter and the broker."""
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    meter = Device(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    meter.enrol()
    yield meter
    meter.kill()
