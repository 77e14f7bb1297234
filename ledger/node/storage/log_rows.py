"""The log's leaves as stored, what opens them, and how a transaction or a settlement line leads to its leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import records, tiles
from ledger.errors import LedgerError
from ledger.node.storage.block_rows import BlockRows, TransactionResult
from ledger.records import RecordKind

_LEAVES: Final = "SELECT hash FROM leaves WHERE ?1 = 0 AND place >= ?2 AND place < ?3 ORDER BY place"
_SUBTREES: Final = "SELECT hash FROM subtrees WHERE level = ?1 AND place >= ?2 AND place < ?3 ORDER BY place"
_LAST_LEAF: Final = "SELECT max(place) FROM leaves WHERE ?1 = 0"
_LAST_SUBTREE: Final = "SELECT max(place) FROM subtrees WHERE level = ?1"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of the log: its data, and what opens it (None for the header leaf)."""

    data: bytes
    hash: bytes
    record: bytes | None
    salt: bytes | None


class MissingHashError(LedgerError):
    """A hash was asked for that the log does not have, or not yet."""


class LogRows(BlockRows):
    """The tables `leaves`, `subtrees`, `settlement_lines` and `readings`."""

    def log_size(self) -> int:
        """Return the number of leaves."""
        return self._count_hashes(0)

    def tree_hashes(self, level: int, first: int, count: int) -> list[bytes]:
        """Return hashes of one level of the log's tiles (a `ledger.tiles.HashReader`); raises MissingHashError."""
        found = [row[0] for row in self._all(_SUBTREES if level else _LEAVES, (level, first, first + count))]
        if len(found) != count:
            raise MissingHashError(f"the log has no {count} hashes from {first} at level {level}")
        return found

    def entries(self, first: int, count: int) -> list[bytes]:
        """Return the data of leaves *first* to *first* + *count* - 1, fewer where they are not here."""
        query = "SELECT data FROM leaves WHERE place >= ? AND place < ? ORDER BY place"
        return [row[0] for row in self._all(query, (first, first + count))]

    def grow_tree(self) -> None:
        """Write the hashes of all subtrees that leaves have completed since the last time."""
        level, count = 0, self.log_size()
        while count >= tiles.WIDTH:
            above, count = self._count_hashes(level + 1), count // tiles.WIDTH
            rows = (
                (level + 1, place, tiles.fold(self.tree_hashes(level, place * tiles.WIDTH, tiles.WIDTH)))
                for place in range(above, count)
            )
            self._many("INSERT INTO subtrees VALUES (?, ?, ?)", rows)
            level += 1

    def _count_hashes(self, level: int) -> int:
        row = self._one(_LAST_SUBTREE if level else _LAST_LEAF, (level,))
        return 0 if row is None or row[0] is None else row[0] + 1

    def some_leaf_hashes(self, first: int, count: int) -> list[bytes]:
        """Return the hashes of at most *count* leaves from place *first* on, in order."""
        query = "SELECT hash FROM leaves WHERE place >= ? AND place < ? ORDER BY place"
        return [row[0] for row in self._all(query, (first, first + count))]

    def leaf_data(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (place, data, hash) of every leaf of which more than the hash is known."""
        yield from self._connection.execute("SELECT place, data, hash FROM leaves WHERE data != x'' ORDER BY place")

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

    def settlement_leaf(self, epoch: int, meter: bytes, which: int) -> tuple[int, Leaf] | None:
        """Return place and leaf of an epoch's and meter's line *which* (from 0, in log order), or None."""
        row = self._one(
            "SELECT place, data, hash, record, salt FROM settlement_lines JOIN leaves USING (place)"
            " WHERE epoch = ? AND meter = ? ORDER BY place LIMIT 1 OFFSET ?",
            (epoch, meter, which),
        )
        return (row[0], Leaf(*row[1:])) if row else None

    def settlement_leaves(self, epoch: int) -> list[Leaf]:
        """Return the leaves of an epoch's settlement lines, in log order."""
        query = "SELECT data, hash, record, salt FROM settlement_lines JOIN leaves USING (place) WHERE epoch = ?"
        return [Leaf(*row) for row in self._all(f"{query} ORDER BY place", (epoch,))]

    def fee_leaf(self, height: int, order: bytes) -> tuple[int, Leaf] | None:
        """Return place and leaf of the fee that block *height* took for *order* as it rolled over, or None."""
        before, after = self.header(height - 1), self.header(height)
        query = (
            "SELECT place, data, hash, record, salt FROM leaves WHERE place >= ?1 AND place < ?2"
            " AND substr(data, 1, length(?3)) = ?3 AND record IS NOT NULL"
        )
        places = (before.log_size if before else 0, after.log_size if after else 0)
        for place, *opened in self._all(query, (*places, records.leaf_head(RecordKind.FEE))):
            if records.decode_fee(opened[2]).order == order:
                return place, Leaf(*opened)
        return None

    def reading(self, hash_: bytes) -> bytes | None:
        """Return the envelope of the boundary reading with this hash, if a block carried it."""
        row = self._one("SELECT raw FROM readings WHERE hash = ?", (hash_,))
        return row[0] if row else None
