"""Storing a batch of readings in one transaction, and what the next batch must know of those stored.

Only a `VerifiedReading` can become a row of `readings` or `evidence`: other types are not taken.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiosqlite

from gateway.intake.refusals import Refusal, RefusalCode
from gateway.intake.sequence import MAX_REFUSED_LISTED, Chain, Link, advance
from gateway.intake.steps import Registers
from gateway.store.database import Database
from gateway.store.restores import RestoreStore
from ledger.reading import ENERGY_EXPORT, ENERGY_IMPORT, Reading, Reason, Thinned, VerifiedReading, decode

QUARANTINE_MESSAGES: Final = 10_000
"""Limit of the quarantine; beyond it the oldest message goes, and is counted."""
QUARANTINE_BYTES: Final = 1024
"""How much of a quarantined message is kept; its true size is kept as well."""
EVIDENCE_OF_ONE: Final = 1000
"""Limit of what is kept as evidence against one meter: the first ones stay, what comes beyond is counted alone."""
ACTIVE_POWER: Final = 1670
_LINKS_PER_QUERY: Final = 256
_LOOKUPS_PER_QUERY: Final = 2000

_MAX_ROWS_PER_INSERT: Final = 256
"""A power of two: what is more or less is split by powers of two, so that few statements have to be prepared."""
_INSERT_READING: Final = (
    "INSERT INTO readings (meter_id, sequence, hash, previous, time, reason, epoch, import_wh, export_wh, power_w,"
    " status, refusal, received_at, raw) VALUES "
)
_READING_ROW: Final = f"({', '.join('?' * 14)})"
_INSERT_OUTBOX: Final = (
    "INSERT INTO outbox (meter_id, epoch, reading)"
    " SELECT meter_id, epoch, id FROM readings WHERE meter_id = ? AND sequence = ?"
)


@dataclass(frozen=True, slots=True)
class Admission:
    """A verified reading on its way into the store: its 32-byte hash, and what speaks against counting it."""

    verified: VerifiedReading
    hash: bytes
    refusal: RefusalCode | None


@dataclass(slots=True)
class Batch:
    """What one batch of messages came to: all of it is committed together."""

    readings: list[Admission] = field(default_factory=list)
    evidence: list[Admission] = field(default_factory=list)
    quarantine: list[Refusal] = field(default_factory=list)
    duplicates: list[bytes] = field(default_factory=list)
    notes: list[tuple[Admission, RefusalCode]] = field(default_factory=list)

    @property
    def meters(self) -> set[bytes]:
        """The meters that sent something with a good signature: these get a receipt."""
        signed = {admission.verified.meter_id for admission in (*self.readings, *self.evidence)}
        return signed.union(self.duplicates)

    def count(self) -> Counter[str]:
        """Return by how much each counter grows."""
        counts = Counter(stored=len(self.readings), duplicates=len(self.duplicates))
        codes = [a.refusal for a in (*self.readings, *self.evidence) if a.refusal] + [r.code for r in self.quarantine]
        counts["refused"] += len(codes)
        counts.update(code.counter for code in (*codes, *(code for _, code in self.notes)))
        counts[RefusalCode.REPLAY.counter] += len(self.duplicates)
        return +counts


class ReadingStore:
    """The tables that intake writes. `counts` holds the counters as of the last commit.

    `committed` is set by the next commit; each commit has an event of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.counts: Counter[str] = Counter()
        self.committed = asyncio.Event()
        self.restores = RestoreStore(database)
        self.floors: dict[bytes, int] = {}
        """Up to which number a meter's raw readings may be gone by the retention rule."""

    async def load(self) -> dict[bytes, Chain]:
        """Return every meter's chain as stored, and read the counters and the mark of a restore."""
        await self.restores.load()
        self.floors = {row["meter_id"]: row["sequence"] for row in await self._database.query("SELECT * FROM floors")}
        self.counts = Counter(
            {row["name"]: row["value"] for row in await self._database.query("SELECT * FROM counters")}
        )
        refused: dict[bytes, list[tuple[int, int]]] = {}
        for row in await self._database.query(
            "SELECT meter_id, sequence, refusal FROM readings WHERE refusal <> 0 UNION"
            " SELECT meter_id, sequence, refusal FROM evidence ORDER BY meter_id, sequence"
        ):
            refused.setdefault(row["meter_id"], []).append((row["sequence"], row["refusal"]))
        return {
            row["meter_id"]: Chain(
                row["head"], row["head_hash"], row["highest"],
                tuple(refused.get(row["meter_id"], ())[-MAX_REFUSED_LISTED:]),
            )
            for row in await self._database.query("SELECT * FROM chains")
        }  # fmt: skip

    def is_gone(self, meter_id: bytes, reading: Reading) -> bool:
        """Tell whether *reading*, which is not stored, may have been: the retention rule then took it."""
        return reading.epoch is None and reading.sequence <= self.floors.get(meter_id, 0)

    async def find_hashes(self, numbers: Sequence[tuple[bytes, int]]) -> dict[tuple[bytes, int], bytes]:
        """Return the hashes of those (meter id, sequence) that are stored."""
        rows = await self._find("meter_id, sequence, hash", "(meter_id, sequence)", "1", numbers)
        return {(row["meter_id"], row["sequence"]): row["hash"] for row in rows}

    async def find_evidence(self, hashes: Collection[bytes]) -> set[bytes]:
        """Return which of *hashes* are kept as evidence already."""
        rows = await self._database.query(
            f"SELECT hash FROM evidence WHERE hash IN ({', '.join('?' * len(hashes))})", tuple(hashes)
        )
        return {row["hash"] for row in rows}

    async def find_boundaries(self, epochs: Sequence[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
        """Return those (meter id, epoch) that have a good boundary reading."""
        good = "epoch IS NOT NULL AND refusal = 0"
        rows = await self._find("meter_id, epoch", "(meter_id, epoch)", good, epochs)
        return {(row["meter_id"], row["epoch"]) for row in rows}

    async def find_registers_below(self, numbers: Sequence[tuple[bytes, int]]) -> dict[bytes, Registers]:
        """Return, for each (meter id, sequence), the registers of the newest stored reading below that number."""
        found: dict[bytes, Registers] = {}
        for start in range(0, len(numbers), _LOOKUPS_PER_QUERY):
            part = numbers[start : start + _LOOKUPS_PER_QUERY]
            rows = await self._database.query(
                f"WITH wanted (meter_id, below) AS (VALUES {', '.join(['(?, ?)'] * len(part))})"
                " SELECT r.meter_id, r.sequence, r.time, r.import_wh, r.export_wh FROM wanted w JOIN readings r"
                " ON r.meter_id = w.meter_id AND r.sequence = (SELECT max(sequence) FROM readings b"
                " WHERE b.meter_id = w.meter_id AND b.sequence < w.below)",
                tuple(item for number in part for item in number),
            )
            found |= {row[0]: Registers(row[1], row[2], row[3], row[4] or 0) for row in rows if row[3] is not None}
        return found

    async def commit(self, batch: Batch, chains: Mapping[bytes, Chain], received_at: int) -> dict[bytes, Chain]:
        """Put *batch* on the disk and return the chains it moved; all of it or, on an error, nothing."""
        async with self._database.transaction() as connection:
            await _insert(connection, batch, received_at)
            moved = await _advance(connection, batch, chains)
            await connection.executemany(
                "INSERT OR REPLACE INTO chains VALUES (?, ?, ?, ?)",
                [(meter_id, chain.head, chain.head_hash, chain.highest) for meter_id, chain in moved.items()],
            )
            counts = batch.count()
            counts[RefusalCode.GAP.counter] += _count_opened(chains, moved)
            counts["evidence_dropped"] += await _keep_evidence(connection, batch.evidence, received_at)
            counts["evicted"] += await _quarantine(connection, batch.quarantine, received_at)
            await connection.executemany(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                list((+counts).items()),
            )
        self.counts.update(counts)
        self.committed.set()
        self.committed = asyncio.Event()
        return moved

    async def _find(self, columns: str, key: str, where: str, values: Sequence[tuple[bytes, int]]) -> list[Any]:
        rows: list[Any] = []
        for start in range(0, len(values), _LOOKUPS_PER_QUERY):
            part = values[start : start + _LOOKUPS_PER_QUERY]
            pairs = ", ".join(["(?, ?)"] * len(part))
            sql = f"SELECT {columns} FROM readings WHERE {where} AND {key} IN (VALUES {pairs})"
            rows += await self._database.query(sql, tuple(item for value in part for item in value))
        return rows


async def _insert(connection: aiosqlite.Connection, batch: Batch, received_at: int) -> None:
    await _insert_readings(connection, [_row(admission, received_at) for admission in batch.readings])
    await _run_for_each(
        connection,
        "INSERT OR IGNORE INTO notes (meter_id, sequence, code) VALUES (?, ?, ?)",
        [(a.verified.meter_id, a.verified.reading.sequence, int(code)) for a, code in batch.notes],
    )
    await _run_for_each(connection, _INSERT_OUTBOX, [
        (admission.verified.meter_id, admission.verified.reading.sequence)
        for admission in batch.readings
        if admission.refusal is None and admission.verified.reading.epoch is not None
    ])  # fmt: skip


async def _insert_readings(connection: aiosqlite.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert *rows*, many by one statement: between any two, the thread that works would queue for Python's lock."""
    start, size = 0, _MAX_ROWS_PER_INSERT
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        values = [value for row in rows[start : start + size] for value in row]
        await connection.execute(_INSERT_READING + ", ".join([_READING_ROW] * size), values)
        start += size


async def _run_for_each(connection: aiosqlite.Connection, sql: str, rows: list[tuple[object, ...]]) -> None:
    if rows:  # else not even the way to the database's thread and back
        await connection.executemany(sql, rows)


async def _keep_evidence(connection: aiosqlite.Connection, evidence: Sequence[Admission], received_at: int) -> int:
    """Store *evidence*, and return how much of it there was no room for."""
    if not evidence:
        return 0
    await connection.executemany(
        "INSERT OR IGNORE INTO evidence (meter_id, sequence, hash, refusal, received_at, raw)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM evidence WHERE meter_id = ?1) < ?7",
        [
            (
                a.verified.meter_id, a.verified.reading.sequence, a.hash, a.refusal, received_at,
                a.verified.reading.raw, EVIDENCE_OF_ONE,
            )
            for a in evidence
        ],
    )  # fmt: skip
    hashes = {one.hash for one in evidence}
    kept = await connection.execute_fetchall(
        f"SELECT hash FROM evidence WHERE hash IN ({', '.join('?' * len(hashes))})", tuple(hashes)
    )
    return len(hashes) - len(list(kept))


def _count_opened(before: Mapping[bytes, Chain], after: Mapping[bytes, Chain]) -> int:
    """Return how many chains began to wait for a predecessor."""
    return sum(chain.is_waiting and not before.get(meter, Chain()).is_waiting for meter, chain in after.items())


async def _advance(connection: aiosqlite.Connection, batch: Batch, chains: Mapping[bytes, Chain]) -> dict[bytes, Chain]:
    links: dict[bytes, list[Link]] = {}
    refused: dict[bytes, list[tuple[int, int]]] = {}
    for admission in (*batch.readings, *batch.evidence):
        if admission.refusal:
            number = (admission.verified.reading.sequence, int(admission.refusal))
            refused.setdefault(admission.verified.meter_id, []).append(number)
    thinned: dict[bytes, list[Thinned]] = {}
    for admission in batch.readings:
        reading = admission.verified.reading
        if reading.thinned:
            thinned.setdefault(admission.verified.meter_id, []).append(reading.thinned)
        link = Link(reading.sequence, admission.hash, reading.previous)
        links.setdefault(admission.verified.meter_id, []).append(link)
    moved = {}
    for meter_id in links.keys() | refused.keys():
        chain = chains.get(meter_id, Chain())
        above = sorted(links.get(meter_id, ()), key=lambda link: link.sequence)
        runs = sorted(thinned.get(meter_id, ()), key=lambda run: run.first)
        further = advance(chain, above, refused.get(meter_id, ()), runs)
        moved[meter_id] = await follow(connection, meter_id, further, chain)
    return moved


async def follow(connection: aiosqlite.Connection, meter_id: bytes, chain: Chain, before: Chain) -> Chain:
    """Return *chain* moved on over readings of earlier batches that waited above the head *before*."""
    waiting = before.is_waiting
    while waiting and chain.is_waiting:
        rows = await connection.execute_fetchall(
            "SELECT sequence, hash, previous FROM readings WHERE meter_id = ? AND sequence > ?"
            " ORDER BY sequence LIMIT ?",
            (meter_id, chain.head, _LINKS_PER_QUERY),
        )
        further = advance(chain, [Link(*row) for row in rows], (), await find_thinned(connection, meter_id, chain.head))
        waiting = further.head > chain.head
        chain = further
    return chain


async def find_thinned(connection: aiosqlite.Connection, meter_id: bytes, head: int) -> list[Thinned]:
    """Return the runs of readings above *head* that the meter gave up, by ascending number."""
    rows = await connection.execute_fetchall(
        "SELECT raw FROM readings WHERE meter_id = ? AND sequence > ? AND reason = ?",
        (meter_id, head, int(Reason.THINNED)),
    )
    runs = [run for (raw,) in rows if (run := decode(raw).thinned)]
    return sorted(runs, key=lambda run: run.first)


async def _quarantine(connection: aiosqlite.Connection, refusals: Iterable[Refusal], received_at: int) -> int:
    """Store *refusals*, and return how many old ones made room for them."""
    rows = [(received_at, r.topic[:256], r.code, len(r.raw), r.raw[:QUARANTINE_BYTES]) for r in refusals]
    if not rows:
        return 0
    await connection.executemany(
        "INSERT INTO quarantine (received_at, topic, refusal, size, raw) VALUES (?, ?, ?, ?, ?)", rows
    )
    evicted = await connection.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_MESSAGES,)
    )
    return evicted.rowcount


def _row(admission: Admission, received_at: int) -> tuple[object, ...]:
    reading = admission.verified.reading
    return (
        admission.verified.meter_id, reading.sequence, admission.hash, reading.previous, reading.time,
        int(reading.reason), reading.epoch, reading.register(ENERGY_IMPORT), reading.register(ENERGY_EXPORT),
        reading.register(ACTIVE_POWER), int(reading.status), int(admission.refusal or 0), received_at, reading.raw,
    )  # fmt: skip
