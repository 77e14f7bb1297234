"""The outbox table: which boundary readings the ledger still has to answer for.

A row is made in the same transaction as its reading, so neither can exist without the other.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database import Database

MAX_METERS_PER_QUERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Owed:
    """A boundary reading that the ledger has not answered for."""

    meter_id: bytes
    epoch: int
    raw: bytes

    @property
    def key(self) -> tuple[bytes, int]:
        """Its natural key: (meter id, epoch)."""
        return self.meter_id, self.epoch


class OutboxStore:
    """The states of owed readings: waiting, submitted (in a named transaction), done, refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting_meters(self) -> set[bytes]:
        """Return the meters of which something waits."""
        rows = await self._database.query("SELECT DISTINCT meter_id FROM outbox WHERE state = 'waiting'")
        return {row["meter_id"] for row in rows}

    async def find_waiting(self, meters: Collection[bytes], overdue: int, limit: int) -> list[Owed]:
        """Return up to *limit* waiting readings of *meters*, the oldest epochs first.

        The ledger books a meter's epochs in order, so a reading whose chain is not complete yet is left for later: the
        boundary before it may still come. It goes all the same where that one went already, and up to epoch *overdue*:
        there it would come too late to make an interval.
        """
        chosen = sorted(meters)[:MAX_METERS_PER_QUERY]
        if not chosen:
            return []
        rows = await self._database.query(
            "SELECT o.meter_id, o.epoch, r.raw FROM outbox o JOIN readings r ON r.id = o.reading"
            " JOIN chains c ON c.meter_id = o.meter_id"
            " WHERE o.state = 'waiting' AND (r.sequence <= c.head OR o.epoch <= ? OR EXISTS (SELECT 1 FROM outbox p"
            " WHERE p.meter_id = o.meter_id AND p.epoch = o.epoch - 1 AND p.state <> 'waiting'))"
            f" AND o.meter_id IN ({', '.join('?' * len(chosen))})"
            " ORDER BY o.epoch, o.meter_id LIMIT ?",
            (overdue, *chosen, limit),
        )
        return [Owed(row["meter_id"], row["epoch"], row["raw"]) for row in rows]

    async def find_submitted(self) -> dict[bytes, list[Owed]]:
        """Return what was submitted and not answered yet, by transaction id."""
        found: dict[bytes, list[Owed]] = {}
        for row in await self._database.query(
            "SELECT o.transaction_id, o.meter_id, o.epoch, r.raw FROM outbox o JOIN readings r ON r.id = o.reading"
            " WHERE o.state = 'submitted' ORDER BY o.epoch, o.meter_id"
        ):
            owed = Owed(row["meter_id"], row["epoch"], row["raw"])
            found.setdefault(row["transaction_id"], []).append(owed)
        return found

    async def count_open(self) -> int:
        """Return how many readings the ledger has not answered for."""
        rows = await self._database.query("SELECT count(*) FROM outbox WHERE state IN ('waiting', 'submitted')")
        return int(rows[0][0])

    async def mark_submitted(self, owed: Iterable[Owed], transaction_id: bytes) -> None:
        """Note that *owed* travels in *transaction_id*."""
        await self._update("'submitted', transaction_id = ?", [(transaction_id, *item.key) for item in owed])

    async def mark_waiting(self, owed: Iterable[Owed]) -> None:
        """Let *owed* be submitted again: its transaction did not make it."""
        await self._update("'waiting', transaction_id = NULL", [item.key for item in owed])

    async def mark_answered(self, done: Sequence[tuple[Owed, int]], refused: Sequence[tuple[Owed, int]]) -> None:
        """Close readings with the ledger's result codes."""
        await self._update("'done', code = ?", [(code, *item.key) for item, code in done])
        await self._update("'refused', code = ?", [(code, *item.key) for item, code in refused])

    async def _update(self, state: str, parameters: Sequence[tuple[object, ...]]) -> None:
        if parameters:
            async with self._database.transaction() as connection:
                await connection.executemany(
                    f"UPDATE outbox SET state = {state} WHERE meter_id = ? AND epoch = ?", parameters
                )
