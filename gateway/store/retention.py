"""Taking old raw readings out of the database, a bounded step at a time, and giving their pages back to the disk.

What goes: readings between boundaries that are good, receipted and long here, with their notes. What stays for
ever: boundary readings (so intervals, and all that the outbox names), refused readings, evidence. The chain is proven
from its floor on.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

from typing import Final

import aiosqlite

from gateway.intake.sequence import Chain, Link, retrace
from gateway.store.database import Database
from gateway.store.readings import ReadingStore, find_thinned

ROWS_PER_STEP: Final = 500
PAGES_PER_STEP: Final = 256
KEPT_NUMBERS: Final = 32
"""How many of a meter's newest numbers stay, however old: the state of a meter that went silent is shown from them."""
_IN_SPAN: Final = "meter_id = ? AND sequence > ? AND sequence <= ?"


class RetentionStore:
    """The floors of the chains, and what lies below them."""

    def __init__(self, database: Database, readings: ReadingStore) -> None:
        self._database = database
        self._readings = readings

    async def find_due(self, received_before: int) -> list[bytes]:
        """Return the meters whose first reading above the floor came before *received_before* (Unix seconds)."""
        rows = await self._database.query(
            "SELECT c.meter_id FROM chains c LEFT JOIN floors f ON f.meter_id = c.meter_id"
            " WHERE (SELECT r.received_at FROM readings r WHERE r.meter_id = c.meter_id"
            " AND r.sequence > coalesce(f.sequence, 0) AND r.sequence < c.head - ? ORDER BY r.sequence LIMIT 1) < ?",
            (KEPT_NUMBERS, received_before),
        )
        return [row[0] for row in rows]

    async def prune(self, meter_id: bytes, received_before: int) -> bool:
        """Move the floor of a meter over at most `ROWS_PER_STEP` readings; tell whether there may be more."""
        async with self._database.transaction() as connection:
            floor = await _read_floor(connection, meter_id)
            rows = list(await connection.execute_fetchall(
                "SELECT sequence, hash, previous, received_at FROM readings WHERE meter_id = ? AND sequence > ?"
                " AND sequence < (SELECT head FROM chains WHERE meter_id = ?) - ? ORDER BY sequence LIMIT ?",
                (meter_id, floor.head, meter_id, KEPT_NUMBERS, ROWS_PER_STEP),
            ))  # fmt: skip
            newer = (place for place, row in enumerate(rows) if row["received_at"] >= received_before)
            links = [Link(*row[:3]) for row in rows[: next(newer, len(rows))]]
            moved = await _follow(connection, meter_id, floor, links)
            self._readings.floors[meter_id] = moved.head  # before the commit: what is stored still is found first
            span = (meter_id, floor.head, moved.head)
            gone = await connection.execute(
                f"DELETE FROM readings WHERE {_IN_SPAN} AND epoch IS NULL AND refusal = 0", span
            )
            await connection.execute(
                f"DELETE FROM notes WHERE {_IN_SPAN} AND NOT EXISTS (SELECT 1 FROM readings r"
                " WHERE r.meter_id = notes.meter_id AND r.sequence = notes.sequence)",
                span,
            )
            if gone.rowcount:
                await connection.execute(
                    "INSERT INTO counters VALUES ('readings_pruned', ?)"
                    " ON CONFLICT DO UPDATE SET value = value + excluded.value",
                    (gone.rowcount,),
                )
            await connection.execute(
                "INSERT OR REPLACE INTO floors VALUES (?, ?, ?)", (meter_id, moved.head, moved.head_hash)
            )
        return moved.head > floor.head and len(links) == ROWS_PER_STEP

    async def give_back(self) -> bool:
        """Give at most `PAGES_PER_STEP` free pages back to the disk; tell whether there may be more."""
        return await self._database.give_back(PAGES_PER_STEP)


async def _read_floor(connection: aiosqlite.Connection, meter_id: bytes) -> Chain:
    rows = list(await connection.execute_fetchall("SELECT sequence, hash FROM floors WHERE meter_id = ?", (meter_id,)))
    return Chain(*rows[0]) if rows else Chain()


async def _follow(connection: aiosqlite.Connection, meter_id: bytes, floor: Chain, links: list[Link]) -> Chain:
    """Return the chain moved from *floor* over *links*; what bridges a gap is looked up only where there is one."""
    plain = retrace(floor, links)
    if not links or plain.head == links[-1].sequence:
        return plain
    adoptions = await connection.execute_fetchall(
        "SELECT first_hash, head FROM adoptions WHERE meter_id = ?", (meter_id,)
    )
    thinned = await find_thinned(connection, meter_id, floor.head)
    return retrace(floor, links, thinned, {row[0]: row[1] for row in adoptions})
