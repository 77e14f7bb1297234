"""Walking through stored readings page by page, for whom all meters or only some are visible.

All meters' readings come in the order in which they were stored; those of chosen meters meter by meter, by sequence
number: the store has an index for each, so that a page costs the same however much is stored. One step looks at no
more than `SCAN_ROWS` rows: where few of them are wanted, a page is short, and the walk goes on all the same.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from gateway.epochs.spans import ALWAYS, END_OF_TIME, START_OF_TIME, Sight, Span, Spans, hold, select_within
from gateway.store.database import Database

READING_COLUMNS: Final = (
    "id, meter_id, sequence, hash, time, reason, epoch, import_wh, export_wh, power_w, status, refusal, received_at,"
    " raw, (SELECT group_concat(n.code) FROM notes n WHERE n.meter_id = readings.meter_id"
    " AND n.sequence = readings.sequence) AS notes"
)
SCAN_ROWS: Final = 5000
NEW_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk has come: behind the reading with row id `row`, or number `row` of the meter `meter_id`."""

    row: int
    meter_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which readings: of which meters and times (None: of all), taken from `first_s` on and before `end_s`."""

    meters: Sight | None = None
    first_s: int = START_OF_TIME
    end_s: int = END_OF_TIME

    def spans(self, meter_id: bytes | None) -> Spans:
        """Return the times of which readings of the meter are wanted."""
        allowed = ALWAYS if self.meters is None or meter_id is None else self.meters[meter_id]
        return tuple(Span(max(self.first_s, one.first_s), min(self.end_s, one.end_s)) for one in allowed)


def place_of(row: sqlite3.Row, wanted: Wanted) -> Place:
    """Return the place behind *row* in a walk through *wanted*."""
    return Place(row["id"]) if wanted.meters is None else Place(row["sequence"], row["meter_id"])


class Walk:
    """Walks through the readings of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted, after: Place | None, limit: int) -> tuple[list[sqlite3.Row], Place | None]:
        """Return at most *limit* readings and the place to go on from, None where the walk is at its end."""
        if wanted.meters is None:
            return await self._step(wanted, after or Place(0), limit)
        rows: list[sqlite3.Row] = []
        for meter_id in sorted(meter for meter in wanted.meters if after is None or meter >= (after.meter_id or b"")):
            start = after if after is not None and after.meter_id == meter_id else Place(0, meter_id)
            found, further = await self._step(wanted, start, limit - len(rows))
            rows += found
            if further is not None:
                return rows, further
        return rows, None

    async def new(self, meters: Sight | None, after: int) -> tuple[list[sqlite3.Row], int]:
        """Return what of *meters* (None: of all) was stored behind row id *after*, and the row id to go on from."""
        rows = await self._database.query(
            f"SELECT {READING_COLUMNS} FROM readings WHERE id > ? ORDER BY id LIMIT ?", (after, NEW_ROWS)
        )
        seen = [row for row in rows if meters is None or hold(meters.get(row["meter_id"], ()), row["time"])]
        return seen, rows[-1]["id"] if rows else after

    async def newest(self) -> int:
        """Return the row id of the reading that was stored last, 0 where none was."""
        rows = await self._database.query("SELECT max(id) FROM readings")
        return int(rows[0][0] or 0)

    async def _step(self, wanted: Wanted, after: Place, limit: int) -> tuple[list[sqlite3.Row], Place | None]:
        """Return up to *limit* readings of those behind *after*, and where to go on; None where all were looked at."""
        number, of_meter, values = _range(after)
        ((last, count),) = await self._database.query(
            f"SELECT max({number}), count(*) FROM (SELECT {number} FROM readings WHERE {of_meter} {number} > ?"
            f" ORDER BY {number} LIMIT ?)",
            (*values, SCAN_ROWS),
        )
        if not count:
            return [], None
        within, bounds = select_within(wanted.spans(after.meter_id))
        rows = await self._database.query(
            f"SELECT {READING_COLUMNS} FROM readings WHERE {of_meter} {number} > ? AND {number} <= ?"
            f" AND {within} ORDER BY {number} LIMIT ?",
            (*values, last, *bounds, limit),
        )
        if len(rows) == limit:
            return rows, place_of(rows[-1], wanted)
        return rows, Place(last, after.meter_id) if count == SCAN_ROWS else None


def _range(after: Place) -> tuple[str, str, tuple[object, ...]]:
    """Return by which column a walk counts, what chooses its meter, and the values bound to that."""
    if after.meter_id is None:
        return "id", "", (after.row,)
    return "sequence", "meter_id = ? AND", (after.meter_id, after.row)
