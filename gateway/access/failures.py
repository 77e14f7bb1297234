"""Failed log-ins in the audit log: enough of them to see what goes on, and never so many that they fill the disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

import structlog

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.access.limits import Limiter, network_of
from gateway.store.database import Database
from gateway.store.mending import explain

ROWS_AT_ONCE: Final = 5
ROWS_PER_S: Final = 1 / 600
"""Of one address: whoever mistypes is seen, whoever guesses does not push the others out."""
ALL_ROWS_AT_ONCE: Final = 100
ALL_ROWS_PER_S: Final = 1 / 60
"""Of all addresses together: a year of guessing from everywhere comes to 200 MB."""
_NOBODY: Final = "nobody of that name"
log = structlog.get_logger()


class Failures:
    """Failed log-ins. `count` is how many there were since the start; those without a row are told by the next one."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._of_one = Limiter(ROWS_PER_S, ROWS_AT_ONCE)
        self._of_all = Limiter(ALL_ROWS_PER_S, ALL_ROWS_AT_ONCE)
        self._untold = 0
        self.count = 0

    async def note(self, name: str | None, origin: str) -> None:
        """Note that somebody at *origin* failed to log in as *name*, None: as nobody that there is.

        A name that nobody has is not written down: it may be a password in the wrong field.
        """
        self.count += 1
        self._untold += 1
        log.warning("log-in failed", origin=origin)
        now_s = self._now()
        if self._of_one.take(network_of(origin), now_s) or self._of_all.take("all", now_s):
            return
        untold, self._untold = self._untold, 0
        try:
            async with self._database.transaction() as connection:
                await audit.append(
                    connection, int(now_s), Actor("somebody", origin), "fail to log in", name or _NOBODY,
                    untold=untold - 1,
                )  # fmt: skip
        except sqlite3.OperationalError as error:
            self._untold += untold
            log.warning("a failed log-in is not in the audit log", cause=explain(error))
