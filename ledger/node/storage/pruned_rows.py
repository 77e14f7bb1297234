"""What a node gives up after a time: bodies of blocks, receipts, and the index of settlement lines, each for itself.

Headers, certificates, hand-overs and the leaves of the log are never given up. Everything here takes a stretch of
blocks at a time, so that a running node is never held up for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from ledger import block, records
from ledger.node.storage.event_rows import EventRows
from ledger.node.storage.log_rows import LogRows
from ledger.records import RecordKind

UNUSED_SHARE: Final = 16
"""Fewer unused pages than one in so many stay in the file: it needs them again."""


class Kept(StrEnum):
    """What is kept for a time of its own.

    BODIES: transactions and evidence of blocks. RECEIPTS: what became of each transaction, with its opening. INDEX: the
    settlement lines and clearings, with their openings and readings: without them no bill can be proven any more.
    """

    BODIES = "bodies"
    RECEIPTS = "receipts"
    INDEX = "index"


class PrunedRows(LogRows, EventRows):
    """What was pruned up to which block, and pruning."""

    def pruned(self, kept: Kept) -> int:
        """Return the height up to which *kept* is gone here, 0 where all of it is held."""
        return int.from_bytes(self.meta(f"pruned {kept}") or b"", "big")

    def note_pruned(self, kept: Kept, height: int) -> None:
        """Remember that *kept* is gone up to *height*."""
        self.set_meta(f"pruned {kept}", height.to_bytes(8, "big"))

    def newest_before(self, time_ms: int) -> int:
        """Return the height of the newest block that was made before *time_ms*, 0 where none was."""
        low, high = 0, self.height()
        while low < high:
            middle = (low + high + 1) // 2
            header = self.header(middle)
            is_before = header is None or header.time_ms < time_ms  # a block that never came is older than all here
            low, high = (middle, high) if is_before else (low, middle - 1)
        return low

    def prune(self, kept: Kept, first: int, last: int) -> None:
        """Give up *kept* of the blocks from *first* to *last*."""
        if kept is Kept.BODIES:
            self._prune_bodies(first, last)
        else:
            self._prune_openings(kept, first, last)
        if kept is Kept.RECEIPTS:
            self.delete_hook_events(first, last)
        self.note_pruned(kept, last)

    def free(self, pages: int) -> bool:
        """Give at most *pages* of the file back to the disk if many are unused; tell whether there are more."""
        unused = self._pragma("freelist_count")
        if unused * UNUSED_SHARE < self._pragma("page_count"):
            return False
        self._all(f"PRAGMA incremental_vacuum({pages})", ())
        return 0 < self._pragma("freelist_count") < unused  # no fewer: a file made before this was so; see `prune`

    def compact(self) -> None:
        """Write the whole file anew, as small as can be, so that from now on it gives back what it does not use."""
        self._run("PRAGMA auto_vacuum = INCREMENTAL", ())
        self._run("VACUUM", ())
        self._all("PRAGMA wal_checkpoint(TRUNCATE)", ())

    def _pragma(self, name: str) -> int:
        row = self._one(f"PRAGMA {name}", ())
        return row[0] if row else 0

    def _prune_bodies(self, first: int, last: int) -> None:
        rows = self._all(
            "SELECT height, body FROM blocks WHERE height BETWEEN ? AND ? AND header IS NULL", (first, last)
        )
        headers = ((block.own_header(body).encode(), height) for height, body in rows)
        self._many("UPDATE blocks SET body = x'', header = ? WHERE height = ?", headers)

    def _prune_openings(self, kept: Kept, first: int, last: int) -> None:
        before, newest = self.header(first - 1), self.header(last)
        places = (before.log_size if before else 0, newest.log_size if newest else 0)
        query = "SELECT place, record FROM leaves WHERE place >= ? AND place < ? AND record IS NOT NULL"
        opened = [
            (place, record)
            for place, record in self._all(query, places)
            if (records.kind_of(record) is RecordKind.RECEIPT) == (kept is Kept.RECEIPTS)
        ]
        if kept is Kept.RECEIPTS:
            self._run("DELETE FROM transactions WHERE height BETWEEN ? AND ?", (first, last))
        else:
            self._forget_lines(opened)
        self._many("UPDATE leaves SET record = NULL, salt = NULL WHERE place = ?", ((place,) for place, _ in opened))

    def _forget_lines(self, opened: Sequence[tuple[int, bytes]]) -> None:
        """Forget settlement lines and the readings at their beginning; the one at the end begins the next line."""
        found = [
            (place, records.decode_settlement_line(record))
            for place, record in opened
            if records.kind_of(record) is RecordKind.SETTLEMENT_LINE
        ]
        keys = ((line.epoch, line.meter, place) for place, line in found)
        self._many("DELETE FROM settlement_lines WHERE epoch = ? AND meter = ? AND place = ?", keys)
        self._many("DELETE FROM readings WHERE hash = ?", ((line.first_reading,) for _, line in found))
