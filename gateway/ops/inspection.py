"""Whether a copy of the database is whole: what decides that a backup counts, and that one may be restored.

The meters' own signatures are the measure: each chain must be complete from its floor to its head, link by link, in
the bytes that the meter signed. Reads only, and bounded in memory.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import BackupError
from gateway.intake.sequence import Chain, Link, retrace
from gateway.roster import Roster
from gateway.store.database import count_schema_files
from ledger import reading as readings
from ledger.errors import MalformedError
from ledger.reading import Reason, Thinned

COUNTED: Final = ("readings", "evidence", "chains", "outbox", "adoptions", "restores")
SAMPLED: Final = 1000
"""How many readings, besides the head of every chain, are checked down to their signature."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a whole database holds. `verified` signatures were checked; `foreign` are of keys no longer enrolled."""

    schema: int
    generation: int
    counts: dict[str, int]
    verified: int
    foreign: int


def inspect(path: Path, name: str, roster: Roster) -> Inspection:
    """Return what the database at *path* holds, which nobody writes; raises BackupError that calls it *name*."""
    try:
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
            _check_pages(connection, name)
            schema = _check_schema(connection, name)
            counts = count_rows(connection)
            _check_chains(connection, name)
            verified, foreign = _check_signatures(connection, name, roster)
            return Inspection(schema, generation_of(connection), counts, verified, foreign)
    except sqlite3.Error as error:
        raise BackupError(f"{name}: its database cannot be read: {error}; take an older backup") from error


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each table has that matters after a restore."""
    return {table: int(_value(connection, f"SELECT count(*) FROM {table}")) for table in COUNTED}  # noqa: S608 - ours


def generation_of(connection: sqlite3.Connection) -> int:
    """Return when the database was last restored, in Unix seconds; 0 = never."""
    return int(_value(connection, "SELECT coalesce(max(generation), 0) FROM restores"))


def schema_of(connection: sqlite3.Connection) -> int:
    """Return the number of the database's schema."""
    return int(_value(connection, "PRAGMA user_version"))


def _check_pages(connection: sqlite3.Connection, name: str) -> None:
    found = " ".join(str(_value(connection, "PRAGMA quick_check(1)")).split())
    if found != "ok":
        raise BackupError(f"{name}: its database is damaged ({found}); take an older backup")


def _check_schema(connection: sqlite3.Connection, name: str) -> int:
    schema, known = schema_of(connection), count_schema_files()
    if schema > known:
        raise BackupError(f"{name}: has schema {schema}, this program knows {known}; install the newer campusgrid")
    return schema


def _check_chains(connection: sqlite3.Connection, name: str) -> None:
    floors = {meter_id: (sequence, digest) for meter_id, sequence, digest in connection.execute("SELECT * FROM floors")}
    for meter_id, head, head_hash in connection.execute("SELECT meter_id, head, head_hash FROM chains"):
        reached = _walk(connection, meter_id, Chain(*floors.get(meter_id, (0, bytes(32)))), head)
        if (reached.head, reached.head_hash) != (head, head_hash):
            raise BackupError(
                f"{name}: the chain of meter {meter_id.hex()} says it is complete up to number {head}, but what is"
                f" stored proves it only up to {reached.head}; take an older backup"
            )


def _walk(connection: sqlite3.Connection, meter_id: bytes, chain: Chain, last: int) -> Chain:
    """Return *chain* moved over the stored readings up to number *last*, each hashed anew from its bytes."""
    rows = connection.execute(
        "SELECT sequence, raw, previous FROM readings WHERE meter_id = ? AND sequence > ? AND sequence <= ?"
        " ORDER BY sequence",
        (meter_id, chain.head, last),
    )
    links = (Link(sequence, hashlib.sha256(raw).digest(), previous) for sequence, raw, previous in rows)
    adopted = dict(connection.execute("SELECT first_hash, head FROM adoptions WHERE meter_id = ?", (meter_id,)))
    return retrace(chain, links, _thinned(connection, meter_id, last), adopted)


def _thinned(connection: sqlite3.Connection, meter_id: bytes, last: int) -> list[Thinned]:
    rows = connection.execute(
        "SELECT raw FROM readings WHERE meter_id = ? AND sequence <= ? AND reason = ?",
        (meter_id, last, int(Reason.THINNED)),
    )
    runs = [run for (raw,) in rows if (run := readings.decode(raw).thinned)]
    return sorted(runs, key=lambda run: run.first)


def _check_signatures(connection: sqlite3.Connection, name: str, roster: Roster) -> tuple[int, int]:
    """Check the newest reading of every chain and a sample of the others; return how many by enrolled keys, and not."""
    verified = foreign = 0
    for meter_id, sequence, previous, digest, raw in _sample(connection):
        try:
            reading = readings.decode(raw)
        except MalformedError as error:
            raise BackupError(f"{name}: holds bytes that are no reading; take an older backup") from error
        if (reading.sequence, reading.previous, reading.hash) != (sequence, previous, digest):
            raise BackupError(
                f"{name}: number {sequence} of meter {meter_id.hex()} is not what its row says; take an older backup"
            )
        held = roster.find_key(reading.key_id)
        if held is None:
            foreign += 1
        elif held[0] != meter_id or not reading.is_signed_by(held[1]):
            raise BackupError(
                f"{name}: number {sequence} of meter {meter_id.hex()} is not signed by it; take an older backup"
            )
        else:
            verified += 1
    if foreign and not verified:
        raise BackupError(f"{name}: the roster has no key of any meter in it; it is of another campus")
    return verified, foreign


def _sample(connection: sqlite3.Connection) -> Iterator[tuple[bytes, int, bytes, bytes, bytes]]:
    columns = "r.meter_id, r.sequence, r.previous, r.hash, r.raw"
    yield from connection.execute(
        f"SELECT {columns} FROM chains c JOIN readings r ON r.meter_id = c.meter_id"  # noqa: S608 - our own text
        " AND r.sequence IN (c.head, c.highest)"
    )
    count = int(_value(connection, "SELECT count(*) FROM readings"))
    yield from connection.execute(
        f"SELECT {columns} FROM readings r WHERE r.id % ? = 0 LIMIT ?",  # noqa: S608 - our own text
        (max(1, count // SAMPLED), 2 * SAMPLED),
    )


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]
