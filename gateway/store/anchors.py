"""The gateway's chain of anchors: made once, kept until the ledger has answered for each, and never forked.

An anchor and the mark up to which readings are anchored are written in one transaction, so a kill leaves both or
neither. A database that is new, or came out of a backup, does not know where the chain stands: then the ledger says.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import aiosqlite

from gateway.epochs.spans import ALWAYS, Spans, select_within
from gateway.store.database import Database
from ledger import anchor, merkle
from ledger.anchor import MAX_READINGS, Anchor, Point

ROWS_PER_STEP: Final = 500
"""How many old anchors are removed at once."""
_OPEN: Final = "state IN ('waiting', 'submitted')"


@dataclass(frozen=True, slots=True)
class OwedAnchor:
    """An anchor, by the id of its row, that the ledger has not answered for."""

    id: int
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class AnchoredReading:
    """A reading's place under its anchor: `path` leads from it, at `index`, to the anchor's root.

    `state` is that of the anchor, `transaction_id` the transaction that carried it to the ledger, if any did.
    """

    reading_hash: bytes
    raw: bytes
    anchor: Anchor
    index: int
    path: tuple[bytes, ...]
    state: str
    transaction_id: bytes | None


class AnchorStore:
    """The anchors of account *gateway*. `newest` is where the chain stands, as of the last commit.

    `is_adrift` tells that the ledger must say where the chain stands before the next anchor is made.
    """

    def __init__(self, database: Database, gateway: bytes) -> None:
        self._database = database
        self._gateway = gateway
        self.newest = Point()
        self.is_adrift = True
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read where the chain stands."""
        (row,) = await self._database.query(
            "SELECT number, time, hash, generation IS NULL OR generation < (SELECT coalesce(max(generation), 0)"
            " FROM restores) FROM anchor_chain"
        )
        self.newest, self.is_adrift = Point(*row[:3]), bool(row[3])

    async def make(self, time: int) -> Anchor | None:
        """Make the next anchor over what came since the last one, at *time* (Unix seconds) or later; None if adrift."""
        async with self._changing:
            if self.is_adrift:
                return None
            (mark,) = await self._database.query("SELECT reading FROM anchor_chain")
            rows = await self._database.query(
                "SELECT id, hash FROM readings WHERE id > ? ORDER BY id LIMIT ?", (mark[0], MAX_READINGS)
            )
            hashes = [row["hash"] for row in rows]
            made = await asyncio.to_thread(anchor.follow, self._gateway, self.newest, time, hashes)
            await self._insert(made, mark[0] + 1, rows[-1]["id"] if rows else mark[0])
            self.newest = Point(made.number, made.time, made.hash)
            return made

    async def find_waiting(self, limit: int) -> list[OwedAnchor]:
        """Return up to *limit* anchors that were not submitted yet, in the order of the chain."""
        rows = await self._database.query(
            "SELECT * FROM anchors WHERE state = 'waiting' ORDER BY number LIMIT ?", (limit,)
        )
        return [OwedAnchor(row["id"], self._anchor(row)) for row in rows]

    async def find_submitted(self) -> tuple[bytes, list[OwedAnchor]] | None:
        """Return (transaction id, anchors) of the oldest submission without an answer, or None."""
        rows = await self._database.query(
            "SELECT * FROM anchors WHERE transaction_id = (SELECT transaction_id FROM anchors"
            " WHERE state = 'submitted' ORDER BY number LIMIT 1) AND state = 'submitted' ORDER BY number"
        )
        return (rows[0]["transaction_id"], [OwedAnchor(row["id"], self._anchor(row)) for row in rows]) if rows else None

    async def find_open(self) -> tuple[int, int | None]:
        """Return how many anchors the ledger has not answered for, and the time of the oldest of them."""
        ((count, oldest),) = await self._database.query(f"SELECT count(*), min(time) FROM anchors WHERE {_OPEN}")
        return count, oldest

    async def mark_submitted(self, owed: Iterable[OwedAnchor], transaction_id: bytes) -> None:
        """Note that *owed* travel in *transaction_id*."""
        await self._update("state = 'submitted', transaction_id = ?", [(transaction_id, item.id) for item in owed])

    async def mark_waiting(self, owed: Iterable[OwedAnchor]) -> None:
        """Let *owed* be submitted again."""
        await self._update("state = 'waiting', transaction_id = NULL", [(item.id,) for item in owed])

    async def mark_done(self, answers: Sequence[tuple[OwedAnchor, int]]) -> None:
        """Close anchors that are on the ledger, with its result codes."""
        await self._update("state = 'done', code = ?", [(code, item.id) for item, code in answers])

    async def refuse(self, owed: OwedAnchor, code: int) -> None:
        """Drop an anchor that the ledger will never take, and those behind it; the ledger must say how to go on."""
        async with self._changing, self._database.transaction() as connection:
            await connection.execute("UPDATE anchors SET code = ? WHERE id = ?", (code, owed.id))
            await _drop(connection, owed.anchor.number)
            await connection.execute("UPDATE anchor_chain SET generation = NULL")
            self.is_adrift = True

    async def resume(self, point: Point) -> None:
        """Go on from *point*, where the chain stands on the ledger.

        What was made beyond it here stands where it links to *point*; else its readings are anchored anew.
        """
        async with self._changing:
            async with self._database.transaction() as connection:
                newest = await _find_newest_beyond(connection, point)
                if newest is None:
                    await _drop(connection, point.number + 1)
                await connection.execute(
                    "UPDATE anchor_chain SET number = ?, time = ?, hash = ?,"
                    " generation = (SELECT coalesce(max(generation), 0) FROM restores)",
                    (newest or (point.number, point.time, point.hash)),
                )
            await self.load()

    async def prune(self, made_before: int) -> None:
        """Remove up to `ROWS_PER_STEP` answered anchors older than *made_before* (Unix seconds), but the newest."""
        async with self._database.transaction() as connection:
            await connection.execute(
                f"DELETE FROM anchors WHERE id IN (SELECT id FROM anchors WHERE time < ? AND NOT {_OPEN}"
                " AND number < (SELECT number FROM anchor_chain) ORDER BY id LIMIT ?)",
                (made_before, ROWS_PER_STEP),
            )

    async def find_reading(self, meter_id: bytes, sequence: int, spans: Spans = ALWAYS) -> AnchoredReading | None:
        """Return the way from a reading, taken within *spans*, to its anchor.

        None where there is no such reading, it is not anchored, or not all beside it is kept.
        """
        within, bounds = select_within(spans)
        readings = await self._database.query(
            f"SELECT id, hash, raw FROM readings WHERE meter_id = ? AND sequence = ? AND {within}",
            (meter_id, sequence, *bounds),
        )
        anchors = readings and await self._database.query(
            "SELECT * FROM anchors WHERE last >= ? AND count > 0 AND state <> 'refused' ORDER BY last LIMIT 1",
            (readings[0]["id"],),
        )
        if not anchors or anchors[0]["first"] > readings[0]["id"]:
            return None
        (reading,), (row,) = readings, anchors
        beside = await self._database.query(
            "SELECT id, hash FROM readings WHERE id BETWEEN ? AND ? ORDER BY id", (row["first"], row["last"])
        )
        if len(beside) != row["count"]:
            return None
        index = [one["id"] for one in beside].index(reading["id"])
        hashes = [one["hash"] for one in beside]
        path = await asyncio.to_thread(_lead, hashes, index)
        return AnchoredReading(
            reading["hash"], reading["raw"], self._anchor(row), index, path, row["state"], row["transaction_id"]
        )

    def _anchor(self, row: sqlite3.Row) -> Anchor:
        return Anchor(self._gateway, row["number"], row["time"], row["count"], row["root"], row["previous"])

    async def _insert(self, made: Anchor, first: int, last: int) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO anchors (number, time, first, last, count, root, previous, hash)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (made.number, made.time, first, last, made.count, made.root, made.previous, made.hash),
            )
            await connection.execute(
                "UPDATE anchor_chain SET number = ?, time = ?, hash = ?, reading = ?",
                (made.number, made.time, made.hash, last),
            )

    async def _update(self, change: str, parameters: Sequence[tuple[object, ...]]) -> None:
        async with self._database.transaction() as connection:
            await connection.executemany(f"UPDATE anchors SET {change} WHERE id = ?", parameters)


def _lead(hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path from the reading at *index* to the root over *hashes*."""
    leaves = [merkle.leaf_hash(one) for one in hashes]
    return merkle.inclusion_path(index, len(leaves), merkle.hashes_over(leaves))


async def _drop(connection: aiosqlite.Connection, number: int) -> None:
    """Let no anchor without an answer stand from *number* on; the next one covers their readings."""
    await connection.execute(
        "UPDATE anchor_chain SET reading = min(reading, coalesce((SELECT min(first) - 1 FROM anchors"
        f" WHERE {_OPEN} AND number >= ?), reading))",
        (number,),
    )
    await connection.execute(
        f"UPDATE anchors SET state = 'refused' WHERE {_OPEN} AND number >= ?",
        (number,),
    )


async def _find_newest_beyond(connection: aiosqlite.Connection, point: Point) -> tuple[int, int, bytes] | None:
    """Return the newest anchor (number, time, hash) that stands here, if *point* is one of its chain; else None."""
    newest = list(await connection.execute_fetchall(
        "SELECT number, time, hash FROM anchors WHERE state <> 'refused' ORDER BY number DESC LIMIT 1"
    ))  # fmt: skip
    if not newest or newest[0]["number"] < point.number:
        return None
    known = list(await connection.execute_fetchall(
        "SELECT 1 FROM anchors WHERE number = ? AND hash = ? AND state <> 'refused' UNION ALL"
        " SELECT 1 FROM anchors WHERE number = ? AND previous = ? AND state <> 'refused'",
        (point.number, point.hash, point.number + 1, point.hash),
    ))  # fmt: skip
    return tuple(newest[0]) if known else None
