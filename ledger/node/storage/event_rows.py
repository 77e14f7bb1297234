"""What happened in decided blocks, in order: first what each transaction did, then what the block's hooks did."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import cbor
from ledger.node.storage.block_rows import BlockRows


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a block: by which transaction (None: by a hook), of which module, what, and the values by name."""

    transaction_id: bytes | None
    module: str
    name: str
    values: dict[str, cbor.Value]


class EventRows(BlockRows):
    """The table `hook_events`, and the events in `transactions`."""

    def add_hook_events(self, height: int, events: bytes) -> None:
        """Keep what the hooks of block *height* did."""
        self._run("INSERT INTO hook_events VALUES (?, ?)", (height, events))

    def events(self, height: int) -> list[StoredEvent]:
        """Return the events of block *height* in order; none where it is not here, or was pruned."""
        found: list[StoredEvent] = []
        query = "SELECT id, events FROM transactions WHERE height = ? ORDER BY place"
        for id_, data in [*self._all(query, (height,)), *self._hook_events(height)]:
            found += (StoredEvent(id_, module, name, dict(pairs)) for module, name, pairs in cbor.decode_own(data))
        return found

    def next_event_height(self, height: int) -> int | None:
        """Return the first height from *height* on whose block may have events, or None."""
        rows = (
            self._one("SELECT min(height) FROM transactions WHERE height >= ?", (height,)),
            self._one("SELECT min(height) FROM hook_events WHERE height >= ?", (height,)),
        )
        return min((row[0] for row in rows if row is not None and row[0] is not None), default=None)

    def delete_hook_events(self, first: int, last: int) -> None:
        """Give up what the hooks of the blocks from *first* to *last* did."""
        self._run("DELETE FROM hook_events WHERE height BETWEEN ? AND ?", (first, last))

    def _hook_events(self, height: int) -> list[tuple[None, bytes]]:
        return [(None, row[0]) for row in self._all("SELECT events FROM hook_events WHERE height = ?", (height,))]
