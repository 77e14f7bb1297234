"""A small campus of real processes on which faults are injected: meters, gates, broker, gateway on a disk of its own.

2 meters under MicroPython, 2 in Python ── gate ── mosquitto ── gate ── campusgrid gateway run (small disk, own clock)
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from hil.delivery_faults import DeliveryFault
from hil.resources.mqtt_gate import MqttGate
from hil.resources.small_disk import SmallDisk
from hil.resources.stepped_clock import SteppedClock
from tests.faults.counting_meter import CountingMeter
from tests.faults.pen_meter import Credentials, PenMeter
from tests.faults.store_reader import StoreReader
from tests.firmware.device import Device
from tests.gateway.plant import BOUND_S, EPOCH_S, ROOT, Pen, Plant, ended, wait_for

PENS, DEVICES = 2, 2
DISK_MIB = 112
"""Room for the database, for two that were replaced, and for what a backup leaves free."""
START_BOUND_S = 60.0
CONNECTED = "broker connected"


@dataclass(slots=True)
class FirmwareMeter:
    """The firmware as a process, and the electricity meter that it reads."""

    meter_id: bytes
    device: Device
    line: CountingMeter

    @property
    def signed(self) -> set[int]:
        """The numbers that it has told to have signed; it tells a moment after it has written them."""
        return {event["sequence"] for event in self.device.of_kind("signed")}


@dataclass(slots=True)
class Campus:
    """Everything that runs, by part; `source` is where all chance comes from.

    `weather` is what delivery to the gateway suffers from all the time, if anything.
    """

    plant: Plant
    disk: SmallDisk
    reader: StoreReader
    clock: SteppedClock
    gateway_gate: MqttGate
    meter_gate: MqttGate
    pens: list[PenMeter]
    firmware: list[FirmwareMeter]
    source: random.Random
    gateway: subprocess.Popen[bytes] | None = None
    weather: DeliveryFault | None = None
    pause: threading.Event = field(default_factory=threading.Event)
    _connected_before: int = 0

    def idle(self, at_most_s: float) -> None:
        """Let things go on for a while of random length."""
        self.pause.wait(self.source.uniform(0, at_most_s))

    def start_gateway(self, *, is_awaited: bool = True) -> None:
        """Start the gateway and, by default, wait for its session with the broker."""
        self._connected_before = self.log().count(CONNECTED)
        self.gateway = self._spawn("run")
        if is_awaited:
            self.await_gateway()

    def await_gateway(self) -> None:
        """Wait until the gateway that was started last has its session with the broker."""
        self.reconnect(self._connected_before)

    def kill_gateway(self) -> int:
        """End the gateway with SIGKILL; return 1 if it ran until then."""
        assert self.gateway is not None
        self.gateway.kill()
        return int(self.gateway.wait(BOUND_S) == -signal.SIGKILL)

    def run_gateway(self, *arguments: str) -> tuple[int, str]:
        """Run `campusgrid gateway` with *arguments* to its end; return the exit code and what it said."""
        before = len(self.log())
        with self._spawn(*arguments) as process:
            code = process.wait(START_BOUND_S)
        return code, self.log()[before:]

    def damage_database(self) -> None:
        """Overwrite a page of the database by chance; the gateway must not run."""
        command = [*self.disk.within, sys.executable, "-m", "hil.database_damage", str(self.plant.store)]
        subprocess.run([*command, str(self.source.getrandbits(32))], env=_environment(), check=True, timeout=BOUND_S)

    def log(self) -> str:
        """Return what the gateway's processes have said so far."""
        return self.plant.gateway_log()

    def reconnect(self, before: int) -> None:
        """Wait until the gateway has connected more than *before* times."""
        wait_for(lambda: self._has_connected(before), "the gateway to have its broker", START_BOUND_S)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what the gateway's database answers."""
        return self.reader.ask(sql, values)

    def count(self, name: str) -> int:
        """Return how often the gateway counted *name*."""
        return sum(value for (value,) in self.rows("SELECT value FROM counters WHERE name = ?", name))

    def intervals(self, meter_id: bytes, first: int, last: int) -> list[dict[str, Any]]:
        """Return what the gateway's API says that a meter measured in the epochs from *first* to *last*."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.plant.api_port}/api/intervals", timeout=BOUND_S,
            trust_env=False, params={"meter": meter_id.hex(), "from": first, "to": last},
        )  # fmt: skip
        answer.raise_for_status()
        return list(answer.json()["intervals"])

    def _has_connected(self, before: int) -> bool:
        assert self.gateway is not None
        assert self.gateway.poll() is None, f"the gateway ended: {self.log()[-4000:]}"
        return self.log().count(CONNECTED) > before

    def _spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        config = self.plant.config
        program = self.clock.program if arguments == ("run",) else [sys.executable, "-c", _COMMAND]
        with (config.parent / "log").open("ab") as log:
            return subprocess.Popen(
                [*self.disk.within, *program, "gateway", *arguments, "--config", config], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=_environment(),
            )  # fmt: skip


_COMMAND = "from gateway.cli import main; main()"


def _environment() -> dict[str, str]:
    """What a process needs that starts in another folder than this one."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


@contextmanager
def running(folder: Path, seed: int) -> Iterator[Campus]:
    """Give a campus in *folder* where everything runs; nothing of it is left in the end."""
    with contextlib.ExitStack() as opened:
        plant = opened.enter_context(ended(Plant(folder / "plant", meters=PENS + DEVICES)))
        inner, outer = (opened.enter_context(MqttGate(plant.broker.folder, plant.broker.port)) for _ in range(2))
        disk = opened.enter_context(SmallDisk(plant.store.parent.resolve(), DISK_MIB))
        reader = opened.enter_context(StoreReader(disk, plant.store))
        credentials = Credentials(
            outer.port, plant.broker.folder / "ca.crt", plant.broker.password, plant.receipt_key.public_key
        )
        firmware = [_add_firmware(opened, folder, plant, pen, outer.port) for pen in plant.pens[PENS:]]
        clock = SteppedClock(folder / "clock")
        _configure(plant, inner.port)
        pens = [PenMeter(pen, credentials) for pen in plant.pens[:PENS]]
        campus = Campus(plant, disk, reader, clock, inner, outer, pens, firmware, random.Random(seed))
        opened.callback(_end_gateway, campus)
        campus.start_gateway()
        for pen in pens:
            opened.enter_context(pen)
        for meter in firmware:
            meter.device.start()
        yield campus


def _end_gateway(campus: Campus) -> None:
    if campus.gateway is not None and campus.gateway.poll() is None:
        campus.kill_gateway()


def _add_firmware(opened: contextlib.ExitStack, folder: Path, plant: Plant, pen: Pen, port: int) -> FirmwareMeter:
    """Return a meter under MicroPython in the place of *pen*, enrolled with the key that it made."""
    home = folder / pen.meter_id.hex()
    home.mkdir()
    shutil.copy(plant.broker.folder / "ca.crt", home / "ca.crt")
    line = opened.enter_context(CountingMeter(home / "tty"))
    connection = {"host": "127.0.0.1", "port": port, "ca": "ca.crt", "user": pen.meter_id.hex()}
    device = Device(
        home, meter_id=pen.meter_id.hex(), broker=connection | {"password": plant.broker.password}, epoch_s=EPOCH_S,
        gateway_keys=[plant.receipt_key.public_key.hex()],
    )  # fmt: skip
    opened.enter_context(device)
    public_key = device.enrol()["public_key"]
    roster = plant.folder / "roster.json"
    content = json.loads(roster.read_text())
    next(one for one in content["meters"] if one["meter_id"] == pen.meter_id.hex())["public_key"] = public_key
    roster.write_text(json.dumps(content))
    return FirmwareMeter(pen.meter_id, device, line)


def _configure(plant: Plant, port: int) -> None:
    """Have the gateway speak to the gate, and back up beside its folder."""
    text = plant.config.read_text().replace(f"port = {plant.broker.port}", f"port = {port}")
    command = [sys.executable, "-c", _COMMAND, "gateway", "backup-key", str(plant.folder / "backup.key")]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_BOUND_S, check=True).stdout
    plant.config.write_text(f'{text}[backup]\nfolder = "{plant.folder / "backups"}"\n{made}')
