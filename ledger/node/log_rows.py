"""The log's leaves as stored, what opens them, and how a transaction or a settlement line leads to its leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.node.block_rows import BlockRows, TransactionResult


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of the log: its data, and what opens it (None for the header leaf)."""

    data: bytes
    hash: bytes
    record: bytes | None
    salt: bytes | None


class LogRows(BlockRows):
    """The tables `leaves`, `settlement_lines` and `readings`."""

    def log_size(self) -> int:
        """Return the number of leaves."""
        row = self._one("SELECT count(*) FROM leaves", ())
        return row[0] if row else 0

    def leaf_hashes(self, size: int) -> list[bytes]:
        """Return the hashes of the first *size* leaves, in order."""
        return [row[0] for row in self._all("SELECT hash FROM leaves WHERE place < ? ORDER BY place", (size,))]

    def some_leaf_hashes(self, first: int, count: int) -> list[bytes]:
        """Return the hashes of at most *count* leaves from place *first* on, in order."""
        query = "SELECT hash FROM leaves WHERE place >= ? AND place < ? ORDER BY place"
        return [row[0] for row in self._all(query, (first, first + count))]

    def add_leaf_hashes(self, first: int, hashes: Sequence[bytes]) -> None:
        """Add leaves of which nothing but the hash is known, from place *first* on; those that are here stay."""
        leaves = ((place, hash_) for place, hash_ in enumerate(hashes, first))
        self._many("INSERT OR IGNORE INTO leaves (place, hash, data) VALUES (?, ?, x'')", leaves)

    def receipt_leaf(self, result: TransactionResult) -> tuple[int, Leaf] | None:
        """Return place and leaf of a transaction's receipt: a block's leaves begin with its receipts, in order."""
        before = self.header(result.height - 1)
        place = result.place + (before.log_size if before else 0)
        row = self._one("SELECT data, hash, record, salt FROM leaves WHERE place = ?", (place,))
        return (place, Leaf(*row)) if row else None

    def settlement_leaf(self, epoch: int, meter: bytes) -> tuple[int, Leaf] | None:
        """Return place and leaf of the first settlement line of an epoch and meter, or None where there is none."""
        row = self._one(
            "SELECT place, data, hash, record, salt FROM settlement_lines JOIN leaves USING (place)"
            " WHERE epoch = ? AND meter = ? ORDER BY place LIMIT 1",
            (epoch, meter),
        )
        return (row[0], Leaf(*row[1:])) if row else None

    def settlement_leaves(self, epoch: int) -> list[Leaf]:
        """Return the leaves of an epoch's settlement lines, in log order."""
        query = "SELECT data, hash, record, salt FROM settlement_lines JOIN leaves USING (place) WHERE epoch = ?"
        return [Leaf(*row) for row in self._all(f"{query} ORDER BY place", (epoch,))]

    def reading(self, hash_: bytes) -> bytes | None:
        """Return the envelope of the boundary reading with this hash, if a block carried it."""
        row = self._one("SELECT raw FROM readings WHERE hash = ?", (hash_,))
        return row[0] if row else None
