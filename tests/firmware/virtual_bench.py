"""A whole meter in virtual time: a day goes by in seconds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from meter import config
from meter.app import Application
from meter.board.folder import Directory
from meter.configuration import Store
from meter.journal import Journal
from meter.progress import Progress
from meter.update import Updater

from hil.flash import FlashDisk
from ledger.keys import PrivateKey
from tests.firmware.device import METER_ID, configuration
from tests.firmware.virtual_time import FastKey, VirtualBoard, VirtualBroker, VirtualLine, VirtualLoop

GATEWAY_KEY = PrivateKey(b"\x07" * 32)
PACE_S = 0.7
"""The gateway is slow enough for the backlog to last over the next boundary."""


class ForgetfulDisk(FlashDisk):
    """A flash disk that does not note what a cut would leave: a day has too many operations."""

    def _begin(self) -> None:
        self.operations += 1


class Bench:
    """One meter in virtual time: its board, wrong by *set_by_ms*, its broker, journal and configuration."""

    def __init__(self, loop: VirtualLoop, pace_s: float = PACE_S, set_by_ms: int = 0, **changes: Any) -> None:
        keys = [GATEWAY_KEY.public_key.hex()]
        settings = configuration(epoch_s=900, telemetry_s=60, gateway_keys=keys) | changes
        self.loop = loop
        self.board = VirtualBoard(loop)
        self.board.set_by_ms = set_by_ms
        self.broker = VirtualBroker(loop, METER_ID, GATEWAY_KEY, pace_s)
        self.disk = ForgetfulDisk()
        self.journal = Journal(*(Directory(name, self.disk) for name in ("log", "archive", "state")))
        parsed = config.parse(json.dumps(settings).encode())
        self.application = Application(
            Store(Directory("state", self.disk), parsed), self.board, FastKey(bytes(32)), self.journal,
            Progress(self.board), lambda: None, Updater(None, None, parsed, self.board, lambda *_: None),
        )  # fmt: skip
        self.application._instrument._line = VirtualLine()
        self._running = loop.create_task(self.application.run())

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        assert not self._running.done(), self._running

    def pass_until_receipted(self, limit_s: float) -> float:
        """Let time go by until everything has its receipt; return how long it took."""
        start_s = self.loop.now_s
        while not self.journal.is_receipted():
            self.pass_time(1)
            assert self.loop.now_s - start_s < limit_s, f"receipted {self.journal.receipted} of {self.journal.sequence}"
        return self.loop.now_s - start_s

    def end(self) -> None:
        """Stop the application."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(1))
