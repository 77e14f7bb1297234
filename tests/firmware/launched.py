"""A meter as a machine under Linux runs it: `launch.py`, started again whenever it ended in need of that, by us.

With it a campus of one meter: its broker as provisioning laid it out, and a gateway in small.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger.keys import PrivateKey
from provisioning import image, keys, layout
from provisioning.broker import GATEWAY_USER
from provisioning.campus import Campus
from provisioning.image import Image
from provisioning.plan import PlannedLine, PlannedMeter, PlannedParameters, PlannedUser
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import wait_for_port
from tests.firmware.gateway import Gateway
from tests.provisioning.plans import small_plan

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "firmware" / "meter" / "launch.py"
PATIENCE_S = 40
Event = dict[str, Any]


class LaunchedMeter:
    """The meter of *config* from `with` to its end; `events` is all that it ever said, over all its runs."""

    def __init__(self, config: Path) -> None:
        self.events: list[Event] = []
        self.runs = 0
        self.stderr = config.with_name("stderr")
        self._config = config
        self._is_wanted = True
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_running, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_wanted = False
        if self._process:
            self._process.kill()
        self._thread.join()

    def wait_for(self, holds: Callable[[Event], bool], since: int = 0) -> Event:
        """Return the first event, after so many, for which *holds* is true."""
        limit = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                for event in self.events[since:]:
                    if holds(event):
                        return event
                since = len(self.events)
                assert self._changed.wait(limit - time.monotonic()), f"nothing of the kind: {self.events[-8:]}"

    def cut_power(self) -> None:
        """End the process at once; it is started again."""
        assert self._process
        self._process.kill()

    def halt(self) -> None:
        """Have the process stand still until `go_on`."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the process that was halted run again."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _keep_running(self) -> None:
        while self._is_wanted:
            self.runs += 1
            with self.stderr.open("a") as errors:
                self._process = subprocess.Popen(
                    [find_micropython(), LAUNCHER, "run", "--config", self._config],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                )  # fmt: skip
            assert self._process.stdout
            for line in self._process.stdout:
                with self._changed:
                    self.events.append(json.loads(line))
                    self._changed.notify_all()
            self._process.wait()


@dataclass
class Plant:
    """A campus of one meter, all of it running; `version` is the newest that a test has used."""

    campus: Campus
    meter: LaunchedMeter
    gateway: Gateway
    firmware: Path
    version: int = 0

    @property
    def meter_id(self) -> bytes:
        """The meter's id."""
        return self.campus.meters[0].meter_id

    @property
    def campus_key(self) -> PrivateKey:
        """The key that signs updates."""
        return keys.read(self.campus.folder / "campus.key")

    def image(self, broken: dict[str, str] | None = None) -> Image:
        """Return this firmware as the next version; *broken* has text to be put at the end of modules."""
        self.version += 1
        folder = self.campus.folder / f"image-{self.version}"
        shutil.copytree(self.firmware, folder)
        for name, text in (broken or {}).items():
            path = folder / "meter" / name
            path.write_text(path.read_text() + text)
        return Image("linux", self.version, image.pack(folder))

    def provision(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `campusgrid provision` as an operator does."""
        source = "from gateway.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", source, "provision", *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip

    def update(self, sent: Image, trial_s: int) -> subprocess.CompletedProcess[str]:
        """Send *sent* to the meter with `campusgrid provision update`, which stays until that is over."""
        path = self.campus.folder / f"{sent.version}.image"
        image.save(sent, path)
        options = ["--image", str(path), "--trial-s", str(trial_s), "--wait-s", str(PATIENCE_S)]
        return self.provision("update", str(self.campus.folder), *options, self.campus.meters[0].plan.label)


@contextmanager
def running_plant(folder: Path) -> Iterator[Plant]:
    """Give a plant in *folder*."""
    campus = layout.lay_out(folder / "campus", _plan(folder), find_mosquitto_passwd())
    (meter,) = campus.meters
    broker = _Listener(campus.folder / "ca.crt", campus.plan.ports.broker)
    login = (GATEWAY_USER, (campus.folder / "gateway" / "broker.password").read_text().strip())
    receipts = keys.read(campus.folder / "gateway" / "receipt.key")
    firmware = folder / "firmware"
    image.copy_source(firmware)
    with (
        _broker(campus),
        BenchMeter(folder / "tty") as line,
        Gateway(broker, meter.meter_id, receipts, login=login) as gateway,
    ):
        line.set_float(72, 1234.567)
        with LaunchedMeter(meter.config(campus.folder)) as launched:
            yield Plant(campus, launched, gateway, firmware)


@dataclass(frozen=True)
class _Listener:
    ca: Path
    port: int


@contextmanager
def _broker(campus: Campus) -> Iterator[None]:
    home = campus.folder / "broker"
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([find_mosquitto(), "-c", home / "mosquitto.conf"], stderr=log)
    try:
        wait_for_port(campus.plan.ports.broker, campus.folder / "ca.crt")
        yield
    finally:
        process.kill()
        process.wait()


def _plan(folder: Path) -> Any:
    """Return a campus of one meter with epochs of three seconds."""
    line = PlannedLine(path=str(folder / "tty"), baud=9600)
    meter = PlannedMeter(
        label="oven", profile="eastron_sdm120", rated_power_w=10_000, can_export=False, owner="bakery", line=line
    )
    return small_plan(
        users=(PlannedUser(name="bakery", kind="consumer"),),
        meters=(meter,),
        parameters=PlannedParameters(epoch_s=3, telemetry_s=1),
    )
