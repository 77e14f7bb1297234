"""What API and dashboard ask of the store. Read-only; every answer is bounded by its `limit`."""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final

from gateway.epochs.intervals import Boundary
from gateway.store.database import Database
from gateway.store.walk import Walk

POWER_SOUGHT_WITHIN: Final = 16
"""Among how many of a meter's newest numbers a power is sought: boundary readings carry none."""


class Queries:
    """Questions to the store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.walk = Walk(database)

    async def newest_readings(self) -> list[sqlite3.Row]:
        """Return the newest stored reading of every meter.

        `power_w` is the last power among its newest numbers, `power_time` when it was read.
        """
        return await self._database.query(
            "SELECT r.meter_id, r.sequence, r.time, r.received_at, r.import_wh, r.export_wh, p.power_w,"
            " p.time AS power_time"
            " FROM chains c JOIN readings r ON r.meter_id = c.meter_id AND r.sequence = c.highest"
            " LEFT JOIN readings p ON p.meter_id = c.meter_id AND p.sequence = (SELECT max(q.sequence) FROM readings q"
            " WHERE q.meter_id = c.meter_id AND q.sequence > c.highest - ? AND q.power_w IS NOT NULL)",
            (POWER_SOUGHT_WITHIN,),
        )

    async def watermarks(self) -> dict[bytes, Boundary]:
        """Return the newest good boundary of every meter: up to it its intervals are closed."""
        rows = await self._database.query(
            "SELECT r.meter_id, r.epoch, r.import_wh, r.export_wh FROM chains c JOIN readings r"
            " ON r.meter_id = c.meter_id AND r.epoch IS NOT NULL AND r.refusal = 0 AND r.epoch = (SELECT max(epoch)"
            " FROM readings WHERE meter_id = c.meter_id AND epoch IS NOT NULL AND refusal = 0)"
        )
        return {row[0]: Boundary(row[0], row[1], row[2] or 0, row[3] or 0) for row in rows}

    async def boundaries(self, meters: Collection[bytes], first_epoch: int, last_epoch: int) -> list[Boundary]:
        """Return the good boundary readings of *meters* from *first_epoch* to *last_epoch*, by meter and epoch."""
        rows = await self._database.query(
            "SELECT meter_id, epoch, import_wh, export_wh FROM readings WHERE epoch BETWEEN ? AND ? AND refusal = 0"
            f" AND epoch IS NOT NULL AND meter_id IN ({', '.join('?' * len(meters))}) ORDER BY meter_id, epoch",
            (first_epoch, last_epoch, *meters),
        )
        return [Boundary(row["meter_id"], row["epoch"], row["import_wh"] or 0, row["export_wh"] or 0) for row in rows]

    async def neighbour(self, meter_id: bytes, epoch: int) -> int | None:
        """Return the newest epoch up to *epoch* for which the meter has a good boundary reading."""
        row = await self._first(
            "SELECT max(epoch) AS epoch FROM readings WHERE meter_id = ? AND epoch <= ? AND refusal = 0"
            " AND epoch IS NOT NULL",
            meter_id, epoch,
        )  # fmt: skip
        return row["epoch"] if row else None

    async def quarantine(self, before: int | None, limit: int) -> list[sqlite3.Row]:
        """Return up to *limit* quarantined messages, the newest first, older than the one with id *before*."""
        return await self._database.query(
            "SELECT * FROM quarantine WHERE id < ? ORDER BY id DESC LIMIT ?", (before or 2**62, limit)
        )

    async def evidence(self, before: int | None, limit: int) -> list[sqlite3.Row]:
        """Return up to *limit* signed readings that contradict stored ones, the newest first."""
        return await self._database.query(
            "SELECT * FROM evidence WHERE id < ? ORDER BY id DESC LIMIT ?", (before or 2**62, limit)
        )

    async def counters(self) -> dict[str, int]:
        """Return what was counted, by name, as of the last commit of whoever counts."""
        return {row[0]: row[1] for row in await self._database.query("SELECT name, value FROM counters")}

    async def _first(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        rows = await self._database.query(sql, parameters)
        return rows[0] if rows else None
