"""API keys: what a program proves itself with. Shown once; each has a role, and may be narrowed to some meters."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.access import audit, tokens
from gateway.access.audit import Actor
from gateway.access.roles import NARROW, PERMISSIONS, Access, Role
from gateway.access.tokens import Kind
from gateway.errors import AccessError, UnknownError
from gateway.store.database import Database

DAY_S: Final = 86_400
MAX_DAYS: Final = 1826
DEFAULT_DAYS: Final = 365
MAX_KEYS: Final = 10_000
MAX_OF_ONE: Final = 20
"""Valid keys of one person."""
MAX_METERS: Final = 100
MAX_NAME: Final = 64
_COLUMNS: Final = "k.id, k.name, k.role, k.account, k.meters, k.read_only, k.created_at, k.expires_at, k.revoked_at"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key may do: all that its role may, with the meters named, or all of the role's; `days` of validity."""

    name: str
    role: Role
    account: bytes | None = None
    meters: frozenset[bytes] | None = None
    is_read_only: bool = True
    days: int = DEFAULT_DAYS


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is listed: never its secret. `owner` is a person's name, or None."""

    id: str
    owner: str | None
    scope: Scope
    created_at: int
    expires_at: int
    revoked_at: int | None


class Keys:
    """The table of keys."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def add(self, scope: Scope, person: int | None, actor: Actor) -> str:
        """Return the text of a new key, of a person or of nobody; raises AccessError."""
        _check(scope)
        token, at = tokens.make(Kind.KEY), int(self._now())
        meters = None if scope.meters is None else json.dumps(sorted(meter.hex() for meter in scope.meters))
        async with self._database.transaction() as connection:
            done = await connection.execute(
                "INSERT INTO api_keys SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL WHERE"
                " (SELECT count(*) FROM api_keys) < ? AND (SELECT count(*) FROM api_keys"
                " WHERE person = ? AND revoked_at IS NULL AND expires_at > ?) < ?",
                (
                    token.id, token.digest, person, scope.name, scope.role, scope.account, meters,
                    int(scope.is_read_only), at, at + scope.days * DAY_S, MAX_KEYS, person, at, MAX_OF_ONE,
                ),
            )  # fmt: skip
            if done.rowcount != 1:
                raise AccessError(f"nobody may have more than {MAX_OF_ONE} keys; revoke one that is not used any more")
            detail = {"name": scope.name, "role": scope.role, "meters": meters, "read_only": scope.is_read_only}
            await audit.append(connection, at, actor, "add key", token.id, **detail)
        return token.text

    async def all(self, person: int | None = None) -> list[Key]:
        """Return every key, or those of one person, the newest first."""
        rows = await self._database.query(
            f"SELECT {_COLUMNS}, p.name AS owner FROM api_keys k LEFT JOIN people p ON p.id = k.person"  # noqa: S608
            " WHERE ? IS NULL OR k.person = ? ORDER BY k.created_at DESC, k.id LIMIT ?",
            (person, person, MAX_KEYS),
        )
        return [_key(row) for row in rows]

    async def revoke(self, key_id: str, actor: Actor, person: int | None = None) -> None:
        """Make a key worth nothing, from the next request on; raises AccessError. With *person*: only theirs."""
        at = int(self._now())
        async with self._database.transaction() as connection:
            done = await connection.execute(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? AND (? IS NULL OR person = ?)",
                (at, key_id, person, person),
            )
            if done.rowcount != 1:
                raise UnknownError(
                    f"there is no key {key_id[:12]!r}; campusgrid gateway api-key list tells which there are"
                )
            await audit.append(connection, at, actor, "revoke key", key_id)

    async def find(self, text: str) -> Access | None:
        """Return what the key *text* gives access to, or None where it is no valid key."""
        token = tokens.parse(Kind.KEY, text)
        if token is None:
            return None
        rows = await self._database.query(
            f"SELECT {_COLUMNS}, k.digest, k.person, p.disabled_at"  # noqa: S608 - our own text
            " FROM api_keys k LEFT JOIN people p ON p.id = k.person"
            " WHERE k.id = ? AND k.revoked_at IS NULL AND k.expires_at > ?",
            (token.id, int(self._now())),
        )
        if not rows or not token.matches(rows[0]["digest"]) or rows[0]["disabled_at"] is not None:
            return None
        return _access(rows[0])


def _check(scope: Scope) -> None:
    if not 1 <= len(scope.name) <= MAX_NAME or not scope.name.isprintable():
        raise AccessError(f"a key needs a name of 1 to {MAX_NAME} printable characters that says what it is for")
    if not 1 <= scope.days <= MAX_DAYS:
        raise AccessError(f"a key holds for 1 to {MAX_DAYS} days, not {scope.days}")
    if (scope.role is Role.TENANT) != (scope.account is not None):
        raise AccessError("a tenant's key needs the account that owns the meters, and no other key has one")
    if scope.meters is not None and not PERMISSIONS[scope.role] & NARROW:
        raise AccessError(f"a key with the role {scope.role} sees no meters; leave them out")
    if scope.meters is not None and not 1 <= len(scope.meters) <= MAX_METERS:
        raise AccessError(f"a key can be narrowed to 1 to {MAX_METERS} meters")


def _access(row: sqlite3.Row) -> Access:
    scope = _scope(row)
    return Access(
        f"key {row['id']} ({row['name']})", scope.role, scope.account, scope.meters, scope.is_read_only,
        person=row["person"], is_key=True,
    )  # fmt: skip


def _key(row: sqlite3.Row) -> Key:
    return Key(row["id"], row["owner"], _scope(row), row["created_at"], row["expires_at"], row["revoked_at"])


def _scope(row: sqlite3.Row) -> Scope:
    meters = None if row["meters"] is None else frozenset(bytes.fromhex(name) for name in json.loads(row["meters"]))
    days = (row["expires_at"] - row["created_at"]) // DAY_S
    return Scope(row["name"], Role(row["role"]), row["account"], meters, bool(row["read_only"]), days)
