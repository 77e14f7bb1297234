"""Chains with a gap: a meter whose earlier readings this gateway lost, and the operator's word to go on without them.

A gateway whose database was lost, or restored from an old backup, holds readings whose predecessors the meter has
deleted long ago on an earlier receipt. Nobody can send these again, so the chain would never be complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import aiosqlite

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.intake.sequence import Chain
from gateway.store.database import Database
from gateway.store.readings import follow

_GAPS: Final = (
    "SELECT c.meter_id, c.head, c.highest, r.sequence, r.hash FROM chains c JOIN readings r ON r.meter_id = c.meter_id"
    " AND r.sequence = (SELECT min(sequence) FROM readings WHERE meter_id = c.meter_id AND sequence > c.head)"
    " WHERE c.highest > c.head"
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A chain that is complete up to `head`, and held again from `first` (with its 32-byte hash) to `highest`."""

    meter_id: bytes
    head: int
    highest: int
    first: int
    first_hash: bytes


class AdoptionStore:
    """The gaps in the stored chains, and the record of those that were given up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_gaps(self, received_before: int) -> list[Gap]:
        """Return the gaps whose first reading above came before *received_before* (Unix seconds): late, or lost."""
        return [Gap(*row) for row in await self._database.query(f"{_GAPS} AND r.received_at < ?", (received_before,))]

    async def find_gap(self, meter_id: bytes) -> Gap | None:
        """Return the gap in the chain of one meter, or None."""
        rows = await self._database.query(f"{_GAPS} AND c.meter_id = ?", (meter_id,))
        return Gap(*rows[0]) if rows else None

    async def adopt(self, gap: Gap, adopted_at: int, adopted_by: Actor) -> int:
        """Let the chain go on behind *gap*, write down who decided so, and return up to where it is complete now.

        Only while no gateway runs on the database: it keeps the chains in memory.
        """
        start = Chain(gap.first, gap.first_hash, gap.highest)
        async with self._database.transaction() as connection:
            chain = await follow(connection, gap.meter_id, start, start)
            await _record(connection, gap, chain, adopted_at, adopted_by)
        return chain.head


async def _record(connection: aiosqlite.Connection, gap: Gap, chain: Chain, adopted_at: int, adopted_by: Actor) -> None:
    await connection.execute(
        "UPDATE chains SET head = ?, head_hash = ? WHERE meter_id = ?", (chain.head, chain.head_hash, gap.meter_id)
    )
    await connection.execute(
        "INSERT INTO adoptions (meter_id, head, first, first_hash, adopted_at, adopted_by) VALUES (?, ?, ?, ?, ?, ?)",
        (gap.meter_id, gap.head, gap.first, gap.first_hash, adopted_at, adopted_by.who),
    )
    detail = {"head": gap.head, "first": gap.first, "first_hash": gap.first_hash.hex()}
    await audit.append(connection, adopted_at, adopted_by, "adopt chain", gap.meter_id.hex(), **detail)
