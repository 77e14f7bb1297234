"""What systemd hears of the meter: real MicroPython, a real notify socket; fed while all gets on, and no longer."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from meter.main import RESTART_STATUS
from meter.service import WATCHDOG_S as WATCHDOG_LIMIT_S

from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.conftest import FIRMWARE
from tests.firmware.device import Device
from tests.firmware.gateway import Gateway

WATCHDOG_S = 0.6
LIMIT_S = 20
STUCK = """
import asyncio
import sys
sys.path.insert(0, {firmware!r})
from meter import progress
from meter.board import linux
from meter.main import main

async def stuck(*_):
    await asyncio.Event().wait()

linux.{name} = stuck
progress.LIMITS_MS[{part!r}] = 1500
sys.exit(main(sys.argv[1:]))
"""
"""A meter on a board whose call {name} never comes back, found out sooner than after minutes."""


class Systemd:
    """The other end of the notify socket *name*, as systemd names it: a path, or @ and an abstract one."""

    def __init__(self, name: str) -> None:
        self.environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(int(1_000_000 * WATCHDOG_S))}
        self.words: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name.replace("@", "\0", 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, word: str) -> None:
        """Wait until *word* comes, new."""
        limit = time.monotonic() + LIMIT_S
        while not self._hear(limit - time.monotonic()).startswith(word):
            pass

    def is_fed_for(self, seconds: float) -> bool:
        """Tell whether the watchdog is fed so long, each time before systemd would kill."""
        self.words.clear()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            bite = time.monotonic() + WATCHDOG_S
            try:
                while self._hear(bite - time.monotonic()) != "WATCHDOG=1":
                    pass
            except TimeoutError:
                return False
        return True

    def wait_until_starved(self) -> None:
        """Wait until the watchdog is fed no more, for twice the time that is left for it."""
        limit = time.monotonic() + LIMIT_S
        while self.is_fed_for(0.1):
            assert time.monotonic() < limit, "the watchdog is fed on"
        assert not self.is_fed_for(0.1)

    def _hear(self, timeout_s: float) -> str:
        self._socket.settimeout(max(timeout_s, 0.001))
        self.words.append(self._socket.recv(4096).decode())
        return self.words[-1]


def fill(terminal: int) -> None:
    """Write to *terminal* until it takes nothing more; the kernel moves what it took a little later."""
    os.set_blocking(terminal, False)
    refused = 0
    while refused < 20:
        try:
            os.write(terminal, bytes(1))
            refused = 0
        except BlockingIOError:
            refused += 1
            time.sleep(0.01)


@pytest.fixture(params=["path", "abstract"])
def systemd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Systemd]:
    """Give a systemd that listens at a path, or at an abstract socket."""
    with Systemd(str(tmp_path / "notify") if request.param == "path" else f"@campusgrid-{os.getpid()}") as running:
        yield running


@pytest.fixture
def watched(device: Device, systemd: Systemd) -> Device:
    """Give a meter that systemd watches."""
    device.environment = systemd.environment
    return device


def test_start_feeding_and_end_are_told(watched: Device, systemd: Systemd, gateway: Gateway) -> None:
    watched.start()
    systemd.wait_for("READY=1")
    systemd.wait_for("STATUS=measuring")
    assert systemd.is_fed_for(3)
    assert watched.signal(signal.SIGINT) == 0
    systemd.wait_for("STOPPING=1")


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_meter_that_is_silent_and_a_broker_that_is_dead_or_frozen_are_no_reason_to_restart(
    watched: Device, systemd: Systemd, broker: Broker, gateway: Gateway, bench_meter: BenchMeter
) -> None:
    watched.start()
    watched.wait_for(lambda event: event["event"] == "receipted")
    bench_meter.mangle = lambda _request, _proper: b""
    watched.wait_for(lambda event: event["event"] == "error" and "reading" in event["text"])
    assert systemd.is_fed_for(2)
    broker.freeze()
    assert systemd.is_fed_for(2)
    broker.thaw()
    broker.kill()
    watched.wait_for(lambda event: event["event"] == "error" and event["text"].startswith("uplink"))
    assert systemd.is_fed_for(2)


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_line_that_takes_no_byte_more_holds_nothing_up(
    watched: Device, systemd: Systemd, gateway: Gateway, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    fill(slave)
    (tmp_path / "tty").unlink()
    (tmp_path / "tty").symlink_to(os.ttyname(slave))
    watched.start()
    watched.wait_for(lambda event: event["event"] == "error" and "cannot use" in event["text"])
    assert systemd.is_fed_for(2)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
@pytest.mark.parametrize(("part", "name"), [("measuring", "connect_plain"), ("uplink", "connect")])
def test_one_part_that_hangs_starves_the_watchdog_while_the_others_go_on(
    watched: Device, systemd: Systemd, gateway: Gateway, part: str, name: str
) -> None:
    if part == "measuring":
        settings = json.loads(watched.config.read_text())
        watched.config.write_text(json.dumps(settings | {"line": {"host": "127.0.0.1", "port": 1}}))
    script = watched.folder / "stuck.py"
    script.write_text(STUCK.format(firmware=str(FIRMWARE), name=name, part=part))
    watched.program[1] = script
    watched.start()
    systemd.wait_for("WATCHDOG=1")
    watched.wait_for(lambda event: event["event"] == "error" and event["text"].startswith(f"{part}: no progress"))
    systemd.wait_until_starved()
    watched.wait_for(lambda event: event["event"] == "status")
    assert bool(watched.of_kind("signed")) == (part == "uplink")


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_safe_mode_is_told_and_fed(watched: Device, systemd: Systemd, gateway: Gateway) -> None:
    (watched.folder / "data" / "key").write_text("damaged")
    watched.start()
    systemd.wait_for("READY=1")
    systemd.wait_for("STATUS=safe mode, key: the meter's key file is damaged")
    assert systemd.is_fed_for(2)


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "vsock:2:9"}, {"NOTIFY_SOCKET": "/nobody"}, {"WATCHDOG_USEC": "x"}]
)
def test_without_systemd_nothing_is_missed(device: Device, gateway: Gateway, environment: dict[str, str]) -> None:
    device.environment = environment
    device.start()
    device.wait_for(lambda event: event["event"] == "receipted")


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(
    watched: Device, systemd: Systemd, gateway: Gateway
) -> None:
    watched.environment |= {"WATCHDOG_PID": "1"}
    watched.start()
    systemd.wait_for("READY=1")
    assert not systemd.is_fed_for(1)


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_the_command_of_the_unit_starts_the_meter_and_the_units_figures_are_the_firmwares(
    watched: Device, systemd: Systemd, gateway: Gateway
) -> None:
    text = (FIRMWARE / "systemd" / "campusgrid-meter@.service").read_text()
    unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    _, program, *arguments = unit["ExecStart"].split()
    assert arguments == ["run", "--config", "%S/campusgrid-meter/%i/config.json"]
    watched.program[1] = FIRMWARE / Path(program).relative_to("/opt/campusgrid/firmware")
    watched.start()
    systemd.wait_for("READY=1")
    watched.wait_for(lambda event: event["event"] == "receipted")
    assert unit["WatchdogSec"] == f"{WATCHDOG_LIMIT_S // 60}min"
    assert (unit["RestartPreventExitStatus"], unit["SuccessExitStatus"]) == ("2", str(RESTART_STATUS))
