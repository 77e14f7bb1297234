"""The retention rule at work: every hour, old raw readings go, in steps between which intake has its turn.

Time is what the gateway's clock and the ledger's newest block agree to have passed: the earlier of the two. A clock
that jumped ahead, or a ledger node that lies, alone deletes nothing; without a ledger nothing is deleted.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from gateway.ops import disk
from gateway.store.mending import explain
from gateway.store.retention import RetentionStore

ROUND_S: Final = 3600.0
FIRST_ROUND_S: Final = 60.0
SHARE: Final = 4
"""A step is followed by a pause so long that retention has at most one part in this many of the writer's time."""
DAY_S: Final = 86_400
log = structlog.get_logger()


class Retention:
    """Keeps the database within the rule. `fault` says why it does not get on, if it does not."""

    def __init__(
        self, store: RetentionStore, folder: Path, raw_days: int, now: Callable[[], float],
        ledger_time: Callable[[], float | None],
    ) -> None:  # fmt: skip
        self._store = store
        self._folder = folder
        self._raw_days = raw_days
        self._now = now
        self._ledger_time = ledger_time
        self.fault: str | None = None

    async def run(self) -> None:
        """Apply the rule until cancelled."""
        pause_s = FIRST_ROUND_S
        while True:
            await asyncio.sleep(pause_s)
            await self.apply()
            pause_s = ROUND_S

    def faults(self) -> list[str]:
        """Return what is wrong with the disk, one line each."""
        return [fault for fault in (disk.find_fault(self._folder), self.fault) if fault]

    def free_bytes(self) -> int:
        """Return how much room the disk of the database has."""
        return disk.free_bytes(self._folder)

    async def apply(self) -> None:
        """Apply the rule once, as far as the disk lets it."""
        ledger_time = self._ledger_time()
        if ledger_time is None:
            return
        before = int(min(self._now(), ledger_time)) - self._raw_days * DAY_S
        try:
            for meter_id in await self._store.find_due(before):
                while await _in_turn(self._store.prune(meter_id, before)):
                    pass
            while await _in_turn(self._store.give_back()):
                pass
        except sqlite3.OperationalError as error:
            self.fault = f"old readings cannot be removed: {explain(error)}"
            log.warning("retention does not get on", cause=str(error))
        else:
            self.fault = None


async def _in_turn(step: Awaitable[bool]) -> bool:
    """Take one step, then leave the writer to others; return whether there is another step."""
    started = time.monotonic()
    has_more = await step
    await asyncio.sleep((SHARE - 1) * (time.monotonic() - started))
    return has_more
