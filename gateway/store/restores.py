"""What a database that came out of a backup must remember: that receipts were given which it knows nothing of.

A meter has deleted what such a receipt covered, and ids were given out. So a meter gets a receipt again only when
its chain is complete up to a reading made after the restore, or when the operator has adopted its chain since.
"""

# ruff: noqa: S608 - what is joined into SQL here is our own text; values are always bound
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from gateway.store.database import Database

_METERS_PER_QUERY: Final = 1000


@dataclass(frozen=True, slots=True)
class Restore:
    """The last restore of this database: when it was (the generation), and when its backup was made; Unix seconds."""

    generation: int
    made_at: int


class RestoreStore:
    """The mark of the last restore, and which meters have grown beyond it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.last: Restore | None = None
        self._released: set[bytes] = set()

    async def load(self) -> None:
        """Read the mark."""
        rows = await self._database.query("SELECT generation, made_at FROM restores ORDER BY generation DESC LIMIT 1")
        self.last = Restore(*rows[0]) if rows else None
        self._released.clear()

    async def release(self, meters: Collection[bytes]) -> set[bytes]:
        """Return those of *meters* that may have receipts: all, unless this database came out of a backup."""
        if self.last is None:
            return set(meters)
        held = [meter_id for meter_id in meters if meter_id not in self._released]
        for start in range(0, len(held), _METERS_PER_QUERY):
            self._released |= await self._find_beyond(held[start : start + _METERS_PER_QUERY], self.last.generation)
        return self._released.intersection(meters)

    async def _find_beyond(self, meters: list[bytes], generation: int) -> set[bytes]:
        chosen = ", ".join("?" * len(meters))
        rows = await self._database.query(
            "SELECT c.meter_id FROM chains c JOIN readings r ON r.meter_id = c.meter_id AND r.sequence = c.head"
            f" WHERE r.time >= ? AND c.meter_id IN ({chosen})"
            f" UNION SELECT meter_id FROM adoptions WHERE adopted_at >= ? AND meter_id IN ({chosen})",
            (generation, *meters, generation, *meters),
        )
        return {row[0] for row in rows}
