"""Decided blocks, what became of their transactions, and the state's rows after the newest of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger import cbor
from ledger.block import Commit, decode_commit
from ledger.node.database import Database
from ledger.roots import Write


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A decided block as stored: encoded block and encoded commit certificate."""

    height: int
    block_id: bytes
    body: bytes
    commit: bytes


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What became of a transaction: its place, result code, why it was refused, events as encoded arrays."""

    id: bytes
    height: int
    place: int
    code: int
    text: str
    events: bytes


class BlockRows(Database):
    """The tables `blocks`, `handovers`, `transactions` and `state_rows`."""

    def height(self) -> int:
        """Return the height of the newest block, 0 for a chain at its genesis."""
        row = self._one("SELECT max(height) FROM blocks", ())
        return row[0] or 0 if row else 0

    def block(self, height: int) -> StoredBlock | None:
        """Return the block of *height*, or None."""
        row = self._one('SELECT height, block_id, body, "commit" FROM blocks WHERE height = ?', (height,))
        return StoredBlock(*row) if row else None

    def decided(self, height: int) -> tuple[bytes, Commit] | None:
        """Return the encoded block of *height* and its commit certificate, or None."""
        row = self._one('SELECT body, "commit" FROM blocks WHERE height = ?', (height,))
        return (row[0], decode_commit(cbor.decode(row[1]))) if row else None

    def commit(self, height: int) -> Commit | None:
        """Return the commit certificate of *height*, or None."""
        row = self._one('SELECT "commit" FROM blocks WHERE height = ?', (height,))
        return decode_commit(cbor.decode(row[0])) if row else None

    def result(self, transaction_id: bytes) -> TransactionResult | None:
        """Return what became of a transaction, or None where no block holds it."""
        row = self._one(
            "SELECT id, height, place, code, text, events FROM transactions WHERE id = ?", (transaction_id,)
        )
        return TransactionResult(*row) if row else None

    def add_handover(self, height: int, data: bytes) -> None:
        """Keep the encoded hand-over certificate that the header of *height* announces."""
        self._run("INSERT OR IGNORE INTO handovers VALUES (?, ?)", (height, data))

    def handovers(self) -> dict[int, bytes]:
        """Return the encoded hand-over certificates by height, oldest first."""
        return dict(self._all("SELECT height, data FROM handovers ORDER BY height", ()))

    def save_genesis(self, head: bytes, rows: Iterable[Write]) -> None:
        """Write the genesis state."""
        self.save_rows(rows)
        self.set_meta("head", head)

    def rows(self) -> Iterator[Write]:
        """Yield every state row."""
        for row in self._connection.execute("SELECT name, id, value FROM state_rows"):
            yield Write(*row)

    def save_rows(self, rows: Iterable[Write]) -> None:
        """Write changed state rows; one whose value is None is deleted."""
        for row in rows:
            if row.value is None:
                self._run("DELETE FROM state_rows WHERE name = ? AND id = ?", (row.table, row.key))
            else:
                self._run("INSERT OR REPLACE INTO state_rows VALUES (?, ?, ?)", (row.table, row.key, row.value))
