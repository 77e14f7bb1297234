"""Chains with a gap: a meter whose earlier readings this gateway lost, and the operator's word to go on without them.

A gateway whose database was lost, or restored from an old backup, holds readings whose predecessors the meter has
deleted long ago on an earlier receipt. Nobody can send these again, so the chain would never be complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import aiosqlite

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.intake.refusals import RefusalCode
from gateway.intake.sequence import Chain, Link
from gateway.store.database import Database
from gateway.store.readings import follow
from ledger.reading import PREVIOUS_BYTES

MAX_LOOKED_THROUGH: Final = 100_000
"""Among how many readings of a meter a fork is sought."""
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


@dataclass(frozen=True, slots=True)
class Segment:
    """Readings above the head that follow one another: from `first` (with its hash) to `last` (with its hash)."""

    first: int
    first_hash: bytes
    last: int
    last_hash: bytes
    readings: int


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

    async def find_fork(self, gap: Gap) -> list[Segment]:
        """Return the chains above *gap* if there is more than one at a time, as of twin meters; else nothing.

        One chain links each reading to the stored number before it, or to one that is not here; where a link passes
        over a stored number, or a number was signed twice, a second chain runs beside the first.
        """
        rows = await self._database.query(
            "SELECT sequence, hash, previous FROM readings WHERE meter_id = ? AND sequence > ?"
            " ORDER BY sequence LIMIT ?",
            (gap.meter_id, gap.head, MAX_LOOKED_THROUGH),
        )
        segments, crosses = trace([Link(*row) for row in rows])
        twice = await self._database.query(
            "SELECT 1 FROM evidence WHERE meter_id = ? AND sequence > ? AND refusal = ? LIMIT 1",
            (gap.meter_id, gap.head, int(RefusalCode.FORK)),
        )
        return segments if crosses or twice else []

    async def adopt(self, gap: Gap, adopted_at: int, adopted_by: Actor, chosen: Segment | None = None) -> int:
        """Let the chain go on behind *gap*, write down who decided so, and return up to where it is complete now.

        It goes on behind every later gap of the meter too: after a restore there is one before each boundary reading
        that came once more. With *chosen*, in a fork, it goes on over that chain alone. Only while no gateway runs on
        the database: it keeps the chains in memory.
        """
        async with self._database.transaction() as connection:
            if chosen is not None:
                gap = replace(gap, first=chosen.first, first_hash=chosen.first_hash)
                chain = Chain(chosen.last, chosen.last_hash, gap.highest)
                await _record(connection, gap, chain, adopted_at, adopted_by)
                return chain.head
            while True:
                start = Chain(gap.first, gap.first_hash, gap.highest)
                chain = await follow(connection, gap.meter_id, start, start)
                await _record(connection, gap, chain, adopted_at, adopted_by)
                rows = list(await connection.execute_fetchall(f"{_GAPS} AND c.meter_id = ?", (gap.meter_id,)))
                if not rows:
                    return chain.head
                gap = Gap(*rows[0])


def trace(links: Sequence[Link]) -> tuple[list[Segment], bool]:
    """Return the chains in *links* (by ascending number), and whether one passes over a number of another.

    A reading that two others follow ends its chain: which of them goes on, only an operator can say.
    """
    at = {link.hash[:PREVIOUS_BYTES]: place for place, link in enumerate(links)}
    followers = Counter(link.previous for link in links)
    ends: dict[bytes, Segment] = {}
    crosses = False
    for place, link in enumerate(links):
        before = at.get(link.previous)
        crosses = crosses or (before is not None and before != place - 1)
        own = ends.pop(link.previous, None) if followers[link.previous] == 1 else None
        start = own or Segment(link.sequence, link.hash, link.sequence, link.hash, 0)
        ends[link.hash[:PREVIOUS_BYTES]] = replace(
            start, last=link.sequence, last_hash=link.hash, readings=start.readings + 1
        )
    return sorted(ends.values(), key=lambda one: one.first), crosses


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
