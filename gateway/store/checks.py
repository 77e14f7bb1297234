"""What the physical checks read and write: boundaries and stated powers, flags of intervals, alarms.

One transaction holds the verdicts of a batch and how far the readings are checked: killed between any two, every
interval is checked, and a finding made twice is one.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import aiosqlite

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.checks.alarms import AlarmCode, Finding, Sighting, Verdict
from gateway.epochs.intervals import Boundary
from gateway.store.database import Database

MAX_CLOSED_ALARMS: Final = 10_000
"""Beyond it the oldest closed alarm goes. Of the others there is one for a meter and a code at most."""
MAX_FLAGS_OF_METER: Final = 10_000
"""Beyond it the meter's oldest flags go, and are counted: a hundred days on end, at 15 minutes and one code."""
MAX_POWERS: Final = 2000
_BOUNDARY: Final = "SELECT meter_id, epoch, import_wh, export_wh FROM readings WHERE epoch IS NOT NULL AND refusal = 0"


class CheckStore:
    """The tables flags, alarms and checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unchecked(self, limit: int) -> tuple[int, list[tuple[bytes, int]], list[sqlite3.Row]]:
        """Return of the next *limit* readings the last one's id, (meter id, epoch) of boundaries, and those refused."""
        rows = await self._database.query(  # by rows, not by ids: a restore leaves 10^15 of these unused
            "SELECT id, meter_id, epoch, refusal, sequence, hash, received_at FROM readings"
            " WHERE id > (SELECT reading FROM checked) ORDER BY id LIMIT ?",
            (limit,),
        )
        boundaries = [(row[1], row[2]) for row in rows if row[2] is not None and not row[3]]
        return (rows[-1]["id"] if rows else 0), boundaries, [row for row in rows if row["refusal"]]

    async def unseen_evidence(self, limit: int) -> list[sqlite3.Row]:
        """Return the next *limit* rows of evidence that raised no alarm yet, each with the hash that stands for it."""
        return await self._database.query(
            "SELECT e.*, r.hash AS standing FROM evidence e LEFT JOIN readings r ON r.meter_id = e.meter_id"
            " AND r.sequence = e.sequence WHERE e.id > (SELECT evidence FROM checked) ORDER BY e.id LIMIT ?",
            (limit,),
        )

    async def boundaries_around(self, meter_id: bytes, epoch: int, before: int) -> list[Boundary]:
        """Return, ascending, the boundary of *epoch*, up to *before* ahead of it, and the one that follows it."""
        lower = await self._database.query(
            f"{_BOUNDARY} AND meter_id = ? AND epoch <= ? ORDER BY epoch DESC LIMIT ?", (meter_id, epoch, before + 1)
        )
        upper = await self._database.query(
            f"{_BOUNDARY} AND meter_id = ? AND epoch > ? ORDER BY epoch LIMIT 1", (meter_id, epoch)
        )
        return [Boundary(row[0], row[1], row[2] or 0, row[3] or 0) for row in (*reversed(lower), *upper)]

    async def powers_between(self, meter_id: bytes, first_epoch: int, last_epoch: int) -> list[int]:
        """Return the powers in W that the meter stated between two of its boundary readings."""
        number = "(SELECT sequence FROM readings WHERE meter_id = ?1 AND epoch = {} AND refusal = 0)"
        rows = await self._database.query(
            "SELECT power_w FROM readings WHERE meter_id = ?1 AND power_w IS NOT NULL"
            f" AND sequence > {number.format('?2')} AND sequence < {number.format('?3')} LIMIT {MAX_POWERS}",
            (meter_id, first_epoch, last_epoch),
        )
        return [row[0] for row in rows]

    async def sight(self, sightings: Sequence[Sighting], seen_up_to: int, now: int) -> None:
        """Raise the alarms of *sightings*, and write down that the evidence up to id *seen_up_to* was seen."""
        async with self._database.transaction() as connection:
            await _raise_sighted(connection, sightings, now)
            await connection.execute("UPDATE checked SET evidence = max(evidence, ?)", (seen_up_to,))

    async def record(
        self, verdicts: Sequence[Verdict], checked_up_to: int, now: int, sightings: Sequence[Sighting] = ()
    ) -> None:
        """Write down *verdicts* and *sightings*, and that the readings up to id *checked_up_to* are checked."""
        async with self._database.transaction() as connection:
            await _raise_sighted(connection, sightings, now)
            for verdict in sorted(verdicts, key=lambda one: one.epoch):
                if verdict.finding is not None:
                    await _raise(connection, verdict.finding, now)
                else:
                    await _close(connection, verdict, now)
            await _drop_closed(connection)
            await connection.execute("UPDATE checked SET reading = max(reading, ?)", (checked_up_to,))

    async def acknowledge(self, alarm: int, now: int, actor: Actor) -> bool:
        """Note that *actor* has seen an open alarm; tell whether there is one of that number that is not closed."""
        async with self._database.transaction() as connection:
            seen = await connection.execute(
                "UPDATE alarms SET state = 'acknowledged', changed_at = ? WHERE id = ? AND state = 'open'", (now, alarm)
            )
            if seen.rowcount:
                await audit.append(connection, now, actor, "acknowledge alarm", str(alarm))
            rows = await connection.execute_fetchall(
                "SELECT 1 FROM alarms WHERE id = ? AND state = 'acknowledged'", (alarm,)
            )
        return bool(list(rows))

    async def close(self, alarm: int, now: int, actor: Actor) -> bool:
        """Close a standing alarm of evidence, as *actor* wants it; tell whether there is one of that number."""
        codes = ", ".join(f"'{code}'" for code in AlarmCode if not code.closes_itself)
        async with self._database.transaction() as connection:
            closed = await connection.execute(
                "UPDATE alarms SET state = 'closed', changed_at = ? WHERE id = ? AND state <> 'closed'"
                f" AND code IN ({codes})",
                (now, alarm),
            )
            if closed.rowcount:
                await audit.append(connection, now, actor, "close alarm", str(alarm))
                await _drop_closed(connection)
        return bool(closed.rowcount)

    async def alarms(self, states: Collection[str], before: int | None, limit: int) -> list[sqlite3.Row]:
        """Return up to *limit* alarms in one of *states*, the newest first, older than the one with id *before*."""
        return await self._database.query(
            f"SELECT * FROM alarms WHERE state IN ({', '.join('?' * len(states))}) AND id < ? ORDER BY id DESC LIMIT ?",
            (*states, before or 2**62, limit),
        )

    async def count_alarms(self) -> dict[tuple[str, str], int]:
        """Return how many alarms there are, by (code, state)."""
        rows = await self._database.query("SELECT code, state, count(*) FROM alarms GROUP BY code, state")
        return {(row[0], row[1]): row[2] for row in rows}

    async def flags(self, meters: Collection[bytes], epochs: Iterable[int]) -> dict[tuple[bytes, int, int], list[str]]:
        """Return the codes of flagged intervals of *meters* by (meter id, epoch, epochs), for starts in *epochs*."""
        starts = sorted(epochs)
        if not starts:
            return {}
        found: dict[tuple[bytes, int, int], list[str]] = {}
        for row in await self._database.query(
            "SELECT meter_id, epoch, epochs, code FROM flags WHERE epoch BETWEEN ? AND ?", (starts[0], starts[-1])
        ):
            if row["meter_id"] in meters:
                found.setdefault((row["meter_id"], row["epoch"], row["epochs"]), []).append(row["code"])
        return found


async def _raise(connection: aiosqlite.Connection, finding: Finding, now: int) -> None:
    """Flag the interval, and raise the meter's alarm or bring the standing one up to date."""
    evidence = json.dumps(dict(finding.evidence) | await _cite(connection, finding), sort_keys=True)
    flagged = await connection.execute(
        "INSERT OR IGNORE INTO flags VALUES (?, ?, ?, ?, ?, ?)",
        (finding.meter_id, finding.epoch, finding.epochs, finding.code, evidence, now),
    )
    if flagged.rowcount != 1:
        return
    await connection.execute(
        "INSERT INTO counters VALUES ('flags', 1) ON CONFLICT DO UPDATE SET value = value + excluded.value"
    )
    await _drop_flags(connection, finding.meter_id)
    await _raise_alarm(connection, finding, evidence, now)


async def _raise_sighted(connection: aiosqlite.Connection, sightings: Sequence[Sighting], now: int) -> None:
    for sighting in sightings:
        await _raise_alarm(connection, sighting, json.dumps(dict(sighting.evidence), sort_keys=True), now)


async def _raise_alarm(connection: aiosqlite.Connection, found: Finding | Sighting, evidence: str, now: int) -> None:
    """Raise the meter's alarm of this code, or bring the standing one up to date."""
    await connection.execute(
        "INSERT INTO alarms (meter_id, code, epoch, evidence, raised_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)"
        " ON CONFLICT (meter_id, code) WHERE state <> 'closed' DO UPDATE SET findings = findings + 1,"
        " epoch = max(epoch, excluded.epoch), changed_at = excluded.changed_at,"
        " evidence = CASE WHEN excluded.epoch >= epoch THEN excluded.evidence ELSE evidence END",
        (found.meter_id, found.code, found.epoch, evidence, now),
    )


async def _drop_flags(connection: aiosqlite.Connection, meter_id: bytes) -> None:
    dropped = await connection.execute(
        "DELETE FROM flags WHERE meter_id = ?1 AND epoch < (SELECT epoch FROM flags WHERE meter_id = ?1"
        " ORDER BY epoch DESC LIMIT 1 OFFSET ?2)",
        (meter_id, MAX_FLAGS_OF_METER - 1),
    )
    if dropped.rowcount:
        await connection.execute(
            "INSERT INTO counters VALUES ('flags_dropped', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            (dropped.rowcount,),
        )


async def _drop_closed(connection: aiosqlite.Connection) -> None:
    await connection.execute(
        "DELETE FROM alarms WHERE state = 'closed' AND id <= (SELECT id FROM alarms WHERE state = 'closed'"
        " ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (MAX_CLOSED_ALARMS,),
    )


async def _cite(connection: aiosqlite.Connection, finding: Finding) -> dict[str, Any]:
    """Return which signed readings the interval lies between: numbers and hashes."""
    rows = await connection.execute_fetchall(
        "SELECT sequence, hash FROM readings WHERE meter_id = ? AND epoch IN (?, ?) AND refusal = 0 ORDER BY epoch",
        (finding.meter_id, finding.epoch, finding.epoch + finding.epochs),
    )
    return {"epochs": finding.epochs, "readings": [{"sequence": row[0], "hash": row[1].hex()} for row in rows]}


async def _close(connection: aiosqlite.Connection, verdict: Verdict, now: int) -> None:
    """Close the meter's alarm of this code: a newer interval is well."""
    await connection.execute(
        "UPDATE alarms SET state = 'closed', changed_at = ? WHERE meter_id = ? AND code = ? AND state <> 'closed'"
        " AND epoch < ?",
        (now, verdict.meter_id, verdict.code, verdict.epoch),
    )
