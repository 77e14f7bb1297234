"""Decided blocks, what became of their transactions, and the state's rows after the newest of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from ledger import block, cbor, roots
from ledger.block import Commit, Header, decode_commit
from ledger.node.storage.database import Database
from ledger.roots import Write

MAX_BODIES_BYTES: Final = 16 * 2**20


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

    def decided(self, height: int) -> tuple[bytes, Commit] | None:
        """Return the encoded block of *height* and its commit certificate; None where it is not here, or was pruned."""
        row = self._one('SELECT body, "commit" FROM blocks WHERE height = ? AND header IS NULL', (height,))
        return (row[0], decode_commit(cbor.decode(row[1]))) if row else None

    def header(self, height: int) -> Header | None:
        """Return the header of *height*, also of a pruned block; None where it is not here."""
        row = self._one("SELECT body, header FROM blocks WHERE height = ?", (height,))
        if row is None:
            return None
        body, header = row
        return block.own_header(body) if header is None else block.decode_header(header)

    def decided_by_id(self, block_id: bytes) -> bytes | None:
        """Return the encoded block with this id, or None."""
        row = self._one("SELECT body FROM blocks WHERE block_id = ? AND header IS NULL", (block_id,))
        return row[0] if row else None

    def bodies(self, first: int, count: int) -> list[bytes]:
        """Return the encoded blocks from height *first* on that are here: at most *count*, fewer if they are large."""
        found: list[bytes] = []
        query = "SELECT body FROM blocks WHERE height >= ? AND header IS NULL ORDER BY height LIMIT ?"
        for (body,) in self._connection.execute(query, (first, count)):
            found.append(body)
            if sum(map(len, found)) > MAX_BODIES_BYTES:
                break
        return found

    def block_id(self, height: int) -> bytes | None:
        """Return the id of the block of *height*, also of a pruned one; None where it is not here."""
        row = self._one("SELECT block_id FROM blocks WHERE height = ?", (height,))
        return row[0] if row else None

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

    def add_header(self, header: Header, commit: Commit) -> None:
        """Keep header and certificate of a block whose body never came."""
        self._run(
            "INSERT OR IGNORE INTO blocks VALUES (?, ?, x'', ?, ?)",
            (header.height, header.id, commit.encode(), header.encode()),
        )

    def save_genesis(self, head: bytes, rows: Iterable[Write]) -> None:
        """Write the genesis state."""
        self.save_rows(rows)
        self.set_meta("head", head)

    def clear_state(self) -> None:
        """Delete every state row."""
        self._run("DELETE FROM state_rows", ())

    def rows(self) -> Iterator[Write]:
        """Yield every state row."""
        for row in self._connection.execute("SELECT name, id, value FROM state_rows"):
            yield Write(*row)

    def rows_by_subtree(self) -> Iterator[tuple[int, list[Write]]]:
        """Yield every subtree of the state root that holds rows, with them, all ascending; SQLite sorts on its disk."""
        self._connection.create_function("subtree_of", 2, roots.subtree_of, deterministic=True)
        query = "SELECT subtree_of(name, id), name, id, value FROM state_rows ORDER BY 1, name, id"
        for subtree, found in groupby(self._connection.execute(query), itemgetter(0)):
            yield subtree, [Write(*row[1:]) for row in found]

    def save_rows(self, rows: Iterable[Write]) -> None:
        """Write changed state rows; one whose value is None is deleted."""
        changed, deleted = [], []
        for row in rows:
            if row.value is None:
                deleted.append((row.table, row.key))
            else:
                changed.append((row.table, row.key, row.value))
        self._many("DELETE FROM state_rows WHERE name = ? AND id = ?", deleted)
        self._many("INSERT OR REPLACE INTO state_rows VALUES (?, ?, ?)", changed)
