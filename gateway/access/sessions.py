"""Sessions: what a browser holds after a log-in, as a cookie. They end after `LIFETIME_S`, whatever is done in them."""

from __future__ import annotations

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
MAX_OF_ONE: Final = 10
"""Sessions of one person; the oldest ends when one more is opened."""


class Sessions:
    """The table of sessions."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def open(self, person: Person, origin: str) -> str:
        """Return the token of a new session of *person*."""
        token, at = tokens.make(Kind.SESSION), int(self._now())
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE expires_at <= ?", (at,))
            await connection.execute(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE person = ?"
                " ORDER BY created_at DESC, id LIMIT -1 OFFSET ?)",
                (person.id, MAX_OF_ONE - 1),
            )
            await connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", (token.id, token.digest, person.id, at, at + LIFETIME_S)
            )
            await audit.append(connection, at, Actor(f"person {person.name}", origin), "log in", person.name)
        return token.text

    async def find(self, text: str) -> Access | None:
        """Return whose session the token *text* is, or None where it is of none that lasts."""
        token = tokens.parse(Kind.SESSION, text)
        if token is None:
            return None
        rows = await self._database.query(
            "SELECT s.digest, p.id, p.name, p.role, p.account FROM sessions s JOIN people p ON p.id = s.person"
            " WHERE s.id = ? AND s.expires_at > ? AND p.disabled_at IS NULL",
            (token.id, int(self._now())),
        )
        if not rows or not token.matches(rows[0]["digest"]):
            return None
        _, number, name, role, account = rows[0]
        return Access(name, Role(role), account, person=number, session=token.id)

    async def close(self, access: Access, origin: str) -> None:
        """End the session of *access*."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM sessions WHERE id = ?", (access.session,))
            actor = Actor(f"person {access.name}", origin)
            await audit.append(connection, int(self._now()), actor, "log out", access.name)
