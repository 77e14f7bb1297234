"""People, and the one-time links with which they choose their passwords: nobody else ever knows a password."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiosqlite

from gateway.access import audit, tokens
from gateway.access.audit import Actor
from gateway.access.roles import PERSONAL_ROLES, Access, Role
from gateway.access.tokens import Kind, Token
from gateway.errors import AccessError, ForbiddenError, UnknownError
from gateway.store.database import Database

LINK_LIFETIME_S: Final = 24 * 3600
FIRST_LINK_LIFETIME_S: Final = 3600
"""The first admin's link stands in the log of the machine."""
MAX_PEOPLE: Final = 10_000
MAX_NAME: Final = 64
_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9._@+-]{{0,{MAX_NAME - 1}}}", re.ASCII)
_COLUMNS: Final = "id, name, role, account, password, created_at, disabled_at"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may log in: `password` is an Argon2id string, None until they have chosen one."""

    id: int
    name: str
    role: Role
    account: bytes | None
    password: str | None
    created_at: int
    disabled_at: int | None

    @property
    def state(self) -> str:
        """Whether they can log in."""
        return "disabled" if self.disabled_at is not None else "active" if self.password else "invited"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a link that may still be used is for: a person, or the first admin, who has no name yet."""

    link_id: str
    person: Person | None


class People:
    """The tables of people and links. Every write is logged in the same transaction."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def all(self) -> list[Person]:
        """Return everybody, by name."""
        rows = await self._database.query(f"SELECT {_COLUMNS} FROM people ORDER BY name LIMIT ?", (MAX_PEOPLE,))  # noqa: S608
        return [_person(row) for row in rows]

    async def find(self, name: str) -> Person | None:
        """Return the person called *name*, however it is written."""
        return await self._first("name = ?", name.casefold())

    async def get(self, name: str) -> Person:
        """Return the person called *name*; raises AccessError if there is none."""
        if (person := await self.find(name)) is None:
            raise UnknownError(f"there is nobody called {name[:MAX_NAME]!r}; campusgrid gateway user list tells who is")
        return person

    async def add(self, name: str, role: Role, account: bytes | None, actor: Actor) -> str:
        """Add a person and return the text of their link; raises AccessError."""
        name = check_name(name)
        check_role(role, account)
        link = tokens.make(Kind.LINK)
        async with self._database.transaction() as connection:
            number = await _insert(connection, name, role, account, self._second())
            await self._write_link(connection, link, number, LINK_LIFETIME_S)
            detail = {"role": role, "account": account.hex() if account else None}
            await audit.append(connection, self._second(), actor, "add person", name, **detail)
        return link.text

    async def renew_link(self, name: str, actor: Actor) -> str:
        """Return the text of a new link for a person; raises AccessError. The old password holds until it is used."""
        person = await self.get(name)
        if person.disabled_at is not None:
            raise AccessError(f"{person.name} is disabled; campusgrid gateway user enable {person.name} comes first")
        link = tokens.make(Kind.LINK)
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM links WHERE person = ? AND used_at IS NULL", (person.id,))
            await self._write_link(connection, link, person.id, LINK_LIFETIME_S)
            await audit.append(connection, self._second(), actor, "renew link", person.name)
        return link.text

    async def disable(self, name: str, actor: Actor) -> None:
        """Shut a person out at once: sessions end, links and keys are worth nothing; raises AccessError."""
        person = await self.get(name)
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE people SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL", (self._second(), person.id)
            )
            await connection.execute("DELETE FROM sessions WHERE person = ?", (person.id,))
            await connection.execute("DELETE FROM links WHERE person = ? AND used_at IS NULL", (person.id,))
            await audit.append(connection, self._second(), actor, "disable person", person.name)

    async def enable(self, name: str, actor: Actor) -> None:
        """Let a disabled person in again, with the old password; raises AccessError."""
        person = await self.get(name)
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE people SET disabled_at = NULL WHERE id = ?", (person.id,))
            await audit.append(connection, self._second(), actor, "enable person", person.name)

    async def change_role(self, name: str, role: Role, account: bytes | None, actor: Actor) -> None:
        """Give a person another role; raises AccessError. Sessions and own keys, which have the old one, end."""
        check_role(role, account)
        person, at = await self.get(name), self._second()
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE people SET role = ?, account = ? WHERE id = ?", (role, account, person.id))
            await connection.execute("DELETE FROM sessions WHERE person = ?", (person.id,))
            await connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE person = ? AND revoked_at IS NULL", (at, person.id)
            )
            detail = {"role": role, "before": person.role, "account": account.hex() if account else None}
            await audit.append(connection, at, actor, "change role", person.name, **detail)

    async def has_admin(self) -> bool:
        """Tell whether an admin can log in."""
        where = "role = ? AND password IS NOT NULL AND disabled_at IS NULL"
        return await self._first(where, Role.ADMIN) is not None

    async def make_first_link(self, actor: Actor) -> str:
        """Return the text of a link that makes whoever uses it an admin; earlier such links are worth nothing."""
        link = tokens.make(Kind.LINK)
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM links WHERE person IS NULL AND used_at IS NULL")
            await self._write_link(connection, link, None, FIRST_LINK_LIFETIME_S)
            await audit.append(connection, self._second(), actor, "make first link", "the first admin")
        return link.text

    async def read_link(self, text: str) -> Invitation | None:
        """Return what the link *text* is for, or None where it may not be used (any more)."""
        token = tokens.parse(Kind.LINK, text)
        if token is None:
            return None
        rows = await self._database.query(
            "SELECT digest, person FROM links WHERE id = ? AND used_at IS NULL AND expires_at > ?",
            (token.id, self._second()),
        )
        if not rows or not token.matches(rows[0]["digest"]):
            return None
        if (number := rows[0]["person"]) is None:
            return None if await self.has_admin() else Invitation(token.id, None)
        person = await self._first("id = ? AND disabled_at IS NULL", number)
        return Invitation(token.id, person) if person is not None else None

    async def accept(self, invitation: Invitation, name: str, password: str, origin: str) -> Person:
        """Use up *invitation*: its person has the Argon2id string *password* now; raises AccessError if it is used.

        *name* is that of the first admin; others have one. Sessions under an earlier password end.
        """
        at = self._second()
        async with self._database.transaction() as connection:
            used = await connection.execute(
                "UPDATE links SET used_at = ? WHERE id = ? AND used_at IS NULL AND expires_at > ?",
                (at, invitation.link_id, at),
            )
            if used.rowcount != 1:
                raise AccessError("this link was used already or is too old; ask for a new one")
            if invitation.person is None:
                name = check_name(name)
                number = await _insert(connection, name, Role.ADMIN, None, at)
            else:
                name, number = invitation.person.name, invitation.person.id
            await connection.execute("UPDATE people SET password = ? WHERE id = ?", (password, number))
            await connection.execute("DELETE FROM sessions WHERE person = ?", (number,))
            await audit.append(connection, at, Actor(f"person {name}", origin), "choose password", name)
        return await self.get(name)

    async def _write_link(
        self, connection: aiosqlite.Connection, link: Token, person: int | None, lifetime_s: int
    ) -> None:
        await connection.execute("DELETE FROM links WHERE expires_at <= ?", (self._second(),))
        await connection.execute(
            "INSERT INTO links (id, digest, person, expires_at) VALUES (?, ?, ?, ?)",
            (link.id, link.digest, person, self._second() + lifetime_s),
        )

    async def _first(self, where: str, *values: object) -> Person | None:
        rows = await self._database.query(f"SELECT {_COLUMNS} FROM people WHERE {where} LIMIT 1", values)  # noqa: S608
        return _person(rows[0]) if rows else None

    def _second(self) -> int:
        return int(self._now())


def require_another(access: Access, name: str) -> None:
    """Raise ForbiddenError where *name* is whose session *access* is: so one who can let others in is always left."""
    if access.session is not None and name.casefold() == access.name:
        raise ForbiddenError("that is yourself: another admin has to do this, so that nobody shuts the last one out")


def check_name(name: str) -> str:
    """Return *name* as it is stored; raises AccessError if it cannot be a name."""
    if not _NAME.fullmatch(folded := name.casefold()):
        raise AccessError(
            f"{name[:MAX_NAME]!r} cannot be a name: 1 to {MAX_NAME} of a-z, 0-9 and . _ @ + -, a letter or digit first"
        )
    return folded


def check_role(role: Role, account: bytes | None) -> None:
    """Raise AccessError unless a person may have *role* with *account*."""
    if role not in PERSONAL_ROLES:
        raise AccessError(f"{role} is a role for API keys; a person has one of {', '.join(PERSONAL_ROLES)}")
    if (role is Role.TENANT) != (account is not None):
        raise AccessError("a tenant needs the account that owns the meters (--account), and nobody else has one")


async def _insert(connection: aiosqlite.Connection, name: str, role: Role, account: bytes | None, at: int) -> int:
    try:
        done = await connection.execute(
            "INSERT INTO people (name, role, account, created_at) SELECT ?, ?, ?, ?"
            " WHERE (SELECT count(*) FROM people) < ?",
            (name, role, account, at, MAX_PEOPLE),
        )
    except sqlite3.IntegrityError as error:
        raise AccessError(f"there is somebody called {name!r} already; choose another name") from error
    if done.rowcount != 1 or done.lastrowid is None:
        raise AccessError(f"there are {MAX_PEOPLE} people already; no more can be added")
    return done.lastrowid


def _person(row: sqlite3.Row) -> Person:
    return Person(
        row["id"], row["name"], Role(row["role"]), row["account"], row["password"], row["created_at"],
        row["disabled_at"],
    )  # fmt: skip
