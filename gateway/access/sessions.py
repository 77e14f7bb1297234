"""Sessions: what a browser holds after a log-in, as a cookie. They end after `LIFETIME_S`, or unused after `IDLE_S`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from gateway.access import audit, tokens
from gateway.access.audit import Actor
from gateway.access.people import Person
from gateway.access.roles import Access, Role
from gateway.access.tokens import Kind
from gateway.store.database import Database

LIFETIME_S: Final = 12 * 3600
IDLE_S: Final = 3600
"""A screen that somebody left is nobody's after this time; a page that refreshes itself does not count as use."""
NOTED_EVERY_S: Final = 60
"""How exactly the time of the last use is kept over a restart."""
MAX_OF_ONE: Final = 10
"""Sessions of one person; the oldest ends when one more is opened."""


class Sessions:
    """The table of sessions, and in memory when each was last used."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._seen: dict[str, int] = {}

    async def open(self, person: Person, origin: str) -> str | None:
        """Return the token of a new session of *person*, None where they are no longer as they were found.

        They may have been shut out, or have got another password, while the one they gave was checked.
        """
        token, at = tokens.make(Kind.SESSION), int(self._now())
        self._seen = {name: seen_at for name, seen_at in self._seen.items() if seen_at > at - IDLE_S}
        async with self._database.transaction() as connection:
            await connection.execute(
                "DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?", (at, at - IDLE_S - NOTED_EVERY_S)
            )
            opened = await connection.execute(
                "INSERT INTO sessions SELECT ?, ?, id, ?, ?, ? FROM people"
                " WHERE id = ? AND password = ? AND role = ? AND disabled_at IS NULL",
                (token.id, token.digest, at, at + LIFETIME_S, at, person.id, person.password, person.role),
            )
            if opened.rowcount != 1:
                return None
            await connection.execute(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE person = ? AND id <> ?"
                " ORDER BY created_at DESC, id LIMIT -1 OFFSET ?)",
                (person.id, token.id, MAX_OF_ONE - 1),
            )
            await audit.append(connection, at, Actor(f"person {person.name}", origin), "log in", person.name)
        return token.text

    async def find(self, text: str) -> Access | None:
        """Return whose session the token *text* is, or None where it is of none that lasts. That is no use of it."""
        token, at = tokens.parse(Kind.SESSION, text), int(self._now())
        if token is None:
            return None
        rows = await self._database.query(
            "SELECT s.digest, s.seen_at, p.id, p.name, p.role, p.account FROM sessions s"
            " JOIN people p ON p.id = s.person WHERE s.id = ? AND s.expires_at > ? AND p.disabled_at IS NULL",
            (token.id, at),
        )
        if not rows or not token.matches(rows[0]["digest"]):
            return None
        _, seen_at, number, name, role, account = rows[0]
        if max(seen_at, self._seen.get(token.id, 0)) <= at - IDLE_S:
            return None
        return Access(name, Role(role), account, person=number, session=token.id)

    async def use(self, access: Access) -> None:
        """Note that somebody uses the session of *access*, if it is one; a disk that is full ends no session."""
        if access.session is None:
            return
        at, before = int(self._now()), self._seen.get(access.session, 0)
        if at - before < NOTED_EVERY_S:
            return
        self._seen[access.session] = at
        try:
            async with self._database.transaction() as connection:
                await connection.execute("UPDATE sessions SET seen_at = ? WHERE id = ?", (at, access.session))
        except sqlite3.OperationalError:
            return

    async def close(self, access: Access, origin: str) -> None:
        """End the session of *access*."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE id = ?", (access.session,))
            actor = Actor(f"person {access.name}", origin)
            await audit.append(connection, int(self._now()), actor, "log out", access.name)
