"""The firmware as a process under real MicroPython: configured, started, listened to, stopped or killed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Any, Self

from provisioning.toolchain.micropython import find_micropython

MAIN = Path(__file__).parents[2] / "firmware" / "meter" / "main.py"
METER_ID = bytes.fromhex("0011223344556677")
EVENT_LIMIT_S = 60
POLL_S = 0.02
Event = dict[str, Any]


def configuration(**changes: Any) -> dict[str, Any]:
    """Return a complete configuration with *changes*."""
    key = bytes(range(32)).hex()
    return {
        "meter_id": METER_ID.hex(),
        "profile": "eastron_sdm120",
        "line": {"path": "tty", "baud": 9600, "parity": "none", "stop_bits": 1},
        "slave": 1,
        "broker": {"host": "127.0.0.1", "port": 1, "ca": "ca.crt", "user": "meter", "password": "secret"},
        "gateway_keys": [key],
        "campus_key": key,
        "epoch_s": 3,
        "telemetry_s": 1,
        "data_dir": "data",
        "drain_s": 10,
        "network": None,
        "time_servers": [],
    } | changes


def is_receipted(event: Event) -> bool:
    """Tell whether *event* is about a receipt."""
    return bool(event["event"] == "receipted")


def is_uplink_error(event: Event) -> bool:
    """Tell whether *event* is a complaint about the uplink."""
    return bool(event["event"] == "error" and event["text"].startswith("uplink"))


def wait_until(holds: Callable[[], object], what: str, limit_s: float = EVENT_LIMIT_S) -> None:
    """Wait until *holds* does, for what no event tells; *what* says what did not happen else."""
    limit = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < limit, what
        time.sleep(POLL_S)


class Device:
    """One meter with its folder. `start` it, read its events with `wait_for`, end it with `stop` or `kill`.

    `program` is what is run; it finds `environment` added to this process's own.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(configuration(**changes)))
        self.events: list[Event] = []
        self.environment: dict[str, str] = {}
        self.program: list[str | Path] = [find_micropython(), MAIN]
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def enrol(self) -> Event:
        """Run `enrol` and return what it printed."""
        result = self.command("enrol")
        assert result.returncode == 0, result.stderr
        answer: Event = json.loads(result.stdout)
        return answer

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the firmware to its end."""
        return subprocess.run(
            [*self.program, name, "--config", self.config],
            check=False, input="", capture_output=True, text=True, timeout=EVENT_LIMIT_S,
        )  # fmt: skip

    def start(self) -> None:
        """Start the firmware; events of an earlier run are no longer waited for."""
        self._queue = queue.Queue()
        self._process = subprocess.Popen(
            self.run_command(), env=os.environ | self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process, self._queue), daemon=True).start()

    def run_command(self) -> list[Any]:
        """Return the command by which `start` starts it."""
        return [*self.program, "run", "--config", self.config]

    def wait_for(self, holds: Callable[[Event], bool], limit_s: float = EVENT_LIMIT_S) -> Event:
        """Return the next event for which *holds* is true."""
        limit = time.monotonic() + limit_s
        while True:
            try:
                event = self._queue.get(timeout=max(0.01, limit - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nothing of the kind in {limit_s} s; last events: {self.events[-5:]}") from None
            assert event is not None, f"the firmware ended; last events: {self.events[-5:]}"
            if holds(event):
                return event

    def stop(self) -> Event:
        """Ask for a graceful end; return the `stopped` event."""
        self.say("stop")
        assert self._process
        stopped = self.wait_for(lambda event: event["event"] == "stopped")
        assert self._process.wait(EVENT_LIMIT_S) == 0
        return stopped

    def say(self, line: str) -> None:
        """Write a line to the firmware's stdin."""
        assert self._process and self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hang_up(self) -> int:
        """Close the firmware's stdin, as a dying parent does; return its exit status."""
        assert self._process and self._process.stdin
        self._process.stdin.close()
        return self._process.wait(EVENT_LIMIT_S)

    def signal(self, number: Signals) -> int:
        """Send a signal; return the exit status."""
        self.send(number)
        assert self._process
        return self._process.wait(EVENT_LIMIT_S)

    def send(self, number: Signals) -> None:
        """Send a signal."""
        assert self._process
        self._process.send_signal(number)

    def blocks(self, number: Signals) -> bool:
        """Tell whether its main thread holds that signal back."""
        assert self._process
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return bool(int(status.split("SigBlk:")[1].split()[0], 16) >> number - 1 & 1)

    def kill(self) -> None:
        """End it as a power cut would, if it still runs."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def of_kind(self, kind: str) -> list[Event]:
        """Return all events of one kind so far."""
        return [event for event in self.events if event["event"] == kind]

    def _listen(self, process: subprocess.Popen[str], events: queue.Queue[Event | None]) -> None:
        assert process.stdout
        for line in process.stdout:
            event = json.loads(line)
            self.events.append(event)
            events.put(event)
        events.put(None)
