"""The audit log: every write with who, what, when and from where; each row's hash covers the row before it.

An altered, removed or inserted row breaks the chain. Who can rewrite the whole table can forge a whole chain: note the
head that `campusgrid gateway audit --verify` prints somewhere else, and check later logs against it with `--since`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

import aiosqlite

from gateway.store.database import Database
from ledger import cbor

FIRST: Final = bytes(32)
"""What the first row has for the hash of the row before it."""
PAGE_ROWS: Final = 1000
_READ_HEAD: Final = "SELECT count, hash FROM audit_head"
_WRITE_ROW: Final = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_WRITE_HEAD: Final = "INSERT OR REPLACE INTO audit_head VALUES (1, ?, ?)"
_PAGE: Final = (  # the noted head beside the rows, so that both are of one moment
    "SELECT h.count, h.hash, a.* FROM (SELECT 1) LEFT JOIN audit_head h LEFT JOIN audit a ON a.id > ?"
    " ORDER BY a.id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who writes, and from where: an address, or "command line"."""

    who: str
    origin: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the log; `detail` is JSON, `at` in Unix seconds, the hashes have 32 bytes."""

    id: int
    at: int
    who: str
    origin: str
    action: str
    subject: str
    detail: str
    previous: bytes
    hash: bytes

    def compute_hash(self) -> bytes:
        """Return the hash that the row must have."""
        fields = [self.id, self.at, self.who, self.origin, self.action, self.subject, self.detail, self.previous]
        return hashlib.sha256(cbor.encode(fields)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row's number and hash: what speaks for all rows up to it. Written NUMBER:HEX."""

    count: int = 0
    hash: bytes = FIRST

    def __str__(self) -> str:
        return f"{self.count}:{self.hash.hex()}"


def find_break(head: Head, row: Row) -> str | None:
    """Return what speaks against *row* as the one that follows *head*, or None."""
    if row.id != head.count + 1:
        return f"row {head.count + 1} is missing: row {row.id} follows row {head.count}"
    if row.compute_hash() != row.hash:
        return f"row {row.id} is not what was written: its hash does not fit its content"
    if row.previous != head.hash:
        return f"row {row.id} does not follow row {head.count}: one of the two was put in later"
    return None


async def append(
    connection: aiosqlite.Connection, at: int, actor: Actor, action: str, subject: str, **detail: Any
) -> None:
    """Write a row in the transaction of *connection*, the one that does what the row tells of."""
    found = list(await connection.execute_fetchall(_READ_HEAD))
    row = _follow(Head(*found[0]) if found else Head(), at, actor, action, subject, detail)
    await connection.execute(_WRITE_ROW, astuple(row))
    await connection.execute(_WRITE_HEAD, (row.id, row.hash))


def append_at_rest(
    connection: sqlite3.Connection, at: int, actor: Actor, action: str, subject: str, **detail: Any
) -> None:
    """Do as `append` does in a database that no gateway runs on."""
    found = connection.execute(_READ_HEAD).fetchone()
    row = _follow(Head(*found) if found else Head(), at, actor, action, subject, detail)
    connection.execute(_WRITE_ROW, astuple(row))
    connection.execute(_WRITE_HEAD, (row.id, row.hash))


def _follow(head: Head, at: int, actor: Actor, action: str, subject: str, detail: dict[str, Any]) -> Row:
    """Return the row that follows *head*, sealed."""
    text = json.dumps(detail, sort_keys=True, ensure_ascii=False)
    row = Row(head.count + 1, at, actor.who, actor.origin, action, subject, text, head.hash, b"")
    return replace(row, hash=row.compute_hash())


class AuditLog:
    """The log as it is read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, before: int | None, limit: int) -> list[Row]:
        """Return up to *limit* rows, the newest first, older than number *before*."""
        rows = await self._database.query(
            "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", (before or 2**62, limit)
        )
        return [Row(*row) for row in rows]

    async def head(self) -> Head:
        """Return the head as it is noted in the database."""
        rows = await self._database.query(_READ_HEAD)
        return Head(*rows[0]) if rows else Head()

    async def verify(self, since: Head | None = None) -> tuple[Head, list[str]]:
        """Return up to where the log is whole, and what is wrong with it: at most one break, and a wrong end.

        With *since*, a head noted earlier, the log must go on from it.
        """
        head = noted = Head()
        faults: list[str] = []
        while rows := await self._database.query(_PAGE, (head.count or -(2**62), PAGE_ROWS)):
            noted = Head(*rows[0][:2]) if rows[0][0] is not None else Head()
            found = [Row(*row[2:]) for row in rows if row[2] is not None]
            for row in found:
                if (fault := find_break(head, row)) is not None:
                    return head, [fault]
                head = Head(row.id, row.hash)
                if since is not None and head.count == since.count and head != since:
                    faults.append(f"row {head.count} is not the one that was noted: the log was written anew")
            if len(found) < PAGE_ROWS:
                break
        return head, faults + _find_wrong_end(head, noted, since)


def _find_wrong_end(head: Head, noted: Head, since: Head | None) -> list[str]:
    faults = []
    if head != noted:
        faults.append(f"the log ends at row {head.count}, but its head is noted as row {noted.count}: one was changed")
    if since is not None and since.count > head.count:
        faults.append(f"the log ends at row {head.count}, before the noted row {since.count}: its end was cut off")
    return faults
