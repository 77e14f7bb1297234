"""The roster in force. It is read again on SIGHUP and when its file changes; a damaged one is refused, the old goes on.

Whoever asks gets a whole roster: a new one takes the old one's place in one step, between two batches of messages.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.errors import SettingsError
from gateway.roster import Roster, read_roster
from gateway.store.database import Database
from gateway.store.mending import explain

POLL_S: Final = 2.0
"""How often the file is looked at."""
_ACTOR: Final = Actor("gateway", "roster file")
log = structlog.get_logger()


@dataclass(slots=True)
class Enrolment:
    """The roster in force, read from the file at `path`. `fault` says why a newer file was refused, if one was."""

    path: Path
    roster: Roster
    fault: str | None = None
    database: Database | None = None
    """Whose audit log is told of a new roster before it is in force."""
    _seen: tuple[int, ...] | None = None
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def open(cls, path: Path) -> Enrolment:
        """Return the enrolment of the roster in the file at *path*; raises SettingsError."""
        seen = _identify(path)
        return cls(path, read_roster(path), _seen=seen)

    def ask(self) -> None:
        """Have the file read again at once, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._asked.wait()
            except TimeoutError:
                if _identify(self.path) == self._seen:
                    continue
            self._asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Read the file, and take what it says if it is whole; else say why not, and leave all as it is."""
        self._seen = _identify(self.path)
        try:
            found = await asyncio.to_thread(_read, self.path)
        except SettingsError as error:
            self.fault = f"the new roster is refused, the old one goes on: {error}"
            log.warning("roster refused", cause=str(error), next_step="mend the file; it is read again when it changes")
            return
        before = self.roster.meters.keys()
        added, removed = len(found.meters.keys() - before), len(before - found.meters.keys())
        if found != self.roster and not await self._note(meters=len(found), added=added, removed=removed):
            return
        self.roster, self.fault = found, None
        log.info("roster read again", meters=len(found), added=added, removed=removed)

    async def _note(self, **detail: int) -> bool:
        """Write the change into the audit log; without that it waits, and is tried again."""
        if self.database is None:
            return True
        try:
            async with self.database.transaction() as connection:
                await audit.append(connection, int(time.time()), _ACTOR, "replace roster", str(self.path), **detail)
        except sqlite3.OperationalError as error:
            self.fault = f"the new roster waits, the audit log cannot be written: {explain(error)}"
            self._seen = None
            return False
        return True


def _read(path: Path) -> Roster:
    """Return the roster in the file at *path*, which names a meter at least: an empty one is no campus."""
    found = read_roster(path)
    if not found.meters:
        raise SettingsError(f"{path}: names no meter at all")
    return found


def _identify(path: Path) -> tuple[int, ...] | None:
    """Return what changes when the file at *path* is written or replaced; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
