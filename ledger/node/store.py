"""What a node keeps on disk: SQLite (WAL, synchronous = FULL), schema in `schema/`, one thread that writes.

Everything that belongs together is committed together: a block with its state rows, log leaves and transaction
results; the inputs of a consensus step with the signature that follows from them.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources
from pathlib import Path
from typing import IO, Any, Final

from ledger import cbor
from ledger.block import Commit, decode, decode_commit
from ledger.consensus import signing
from ledger.consensus.signing import Signature
from ledger.errors import CorruptedError, LedgerError
from ledger.roots import Write

BUSY_TIMEOUT_S: Final = 5.0
KEPT_SIGNED_HEIGHTS: Final = 1_000
"""How far back signatures are kept; nothing is ever signed again at a height whose block is stored here."""
_SCHEMA: Final = resources.files("ledger.node") / "schema"


class StoreError(LedgerError):
    """The database cannot be opened or written: the operator must act."""


class SignedType(IntEnum):
    """What kinds of messages the rule "one value for one (height, round, type)" covers."""

    PROPOSAL = 32
    PREVOTE = 33
    PRECOMMIT = 34
    COSIGNATURE = 64


@dataclass(frozen=True, slots=True)
class Signed:
    """A message this node signed: `value` is what must never change for its (height, round, type)."""

    height: int
    round: int
    type: SignedType
    value: bytes
    message: bytes


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of the log: its data, and what opens it (None for the header leaf)."""

    data: bytes
    hash: bytes
    record: bytes | None
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What became of a transaction: its place, result code, why it was refused, events as encoded arrays."""

    id: bytes
    height: int
    place: int
    code: int
    text: str
    events: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """All that a decided block changes, to be committed at once. A row whose value is None is deleted."""

    height: int
    block_id: bytes
    body: bytes
    commit: bytes
    head: bytes
    rows: Iterable[Write]
    first_leaf: int
    leaves: Sequence[Leaf]
    settlement_lines: Iterable[tuple[int, bytes, int]]
    readings: Iterable[tuple[bytes, bytes]]
    transactions: Iterable[TransactionResult]


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A decided block as stored: encoded block and encoded commit certificate."""

    height: int
    block_id: bytes
    body: bytes
    commit: bytes


class Store:
    """An open database. Use each instance from one thread at a time, and write through one instance only."""

    def __init__(self, connection: sqlite3.Connection, lock: IO[bytes] | None = None) -> None:
        self._connection = connection
        self._lock = lock

    @classmethod
    def open(cls, path: Path, chain_id: bytes) -> Store:
        """Open or create the database *path* of the chain; raises StoreError or CorruptedError."""
        with ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = opened.enter_context(_lock(path))
                connection = sqlite3.connect(
                    path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
                opened.callback(connection.close)
                store = cls(connection, lock)
                store._prepare(path, chain_id)
            except sqlite3.DatabaseError as error:
                raise _fault(path, error) from error
            except OSError as error:
                raise StoreError(f"cannot use the data directory {path.parent}: {error.strerror}") from error
            opened.pop_all()
        return store

    @classmethod
    def open_reader(cls, path: Path) -> Store:
        """Open the existing database *path* for reading beside the writer."""
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        return cls(connection)

    def close(self) -> None:
        """Close the database; nothing is pending outside `transaction`."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the body durably, or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # ---- consensus

    def sign(self, signed: Signed) -> bytes:
        """Record *signed* and return the message to send: the stored one where this value was signed before.

        Raises DoubleSigningError where *another* value was signed for the same height, round and type.
        """
        key = (signed.height, signed.round, int(signed.type))
        row = self._one("SELECT value, message FROM sign_state WHERE height = ? AND round = ? AND type = ?", key)
        stored = Signature(*row) if row is not None else None
        what = f"{signed.type.name.lower()} at height {signed.height}, round {signed.round}"
        chosen = signing.choose(stored, Signature(signed.value, signed.message), what)
        if stored is None:
            self._run("INSERT INTO sign_state VALUES (?, ?, ?, ?, ?)", (*key, chosen.value, chosen.message))
        return chosen.message

    def signed(self, height: int) -> list[Signed]:
        """Return what this node signed at *height*, ascending by round and type."""
        rows = self._all(
            "SELECT round, type, value, message FROM sign_state WHERE height = ? ORDER BY round, type", (height,)
        )
        return [Signed(height, round_, SignedType(type_), value, message) for round_, type_, value, message in rows]

    def add_input(self, height: int, data: bytes) -> None:
        """Append one input of the consensus core at *height*."""
        self._run("INSERT INTO inputs (height, data) VALUES (?, ?)", (height, data))

    def inputs(self, height: int) -> list[bytes]:
        """Return the core's inputs at *height*, in order."""
        return [row[0] for row in self._all("SELECT data FROM inputs WHERE height = ? ORDER BY number", (height,))]

    def add_candidate(self, height: int, block_id: bytes, body: bytes) -> None:
        """Keep a block that this node proposes or votes for; it is needed again after a restart."""
        self._run("INSERT OR IGNORE INTO candidates VALUES (?, ?, ?)", (block_id, height, body))

    def candidates(self, height: int) -> dict[bytes, bytes]:
        """Return the encoded blocks of *height* by their ids."""
        return dict(self._all("SELECT block_id, body FROM candidates WHERE height = ?", (height,)))

    def add_evidence(self, evidence: bytes) -> None:
        """Keep evidence that no block holds yet."""
        self._run("INSERT OR IGNORE INTO evidence VALUES (?)", (evidence,))

    def evidence(self) -> list[bytes]:
        """Return the evidence that waits for a block."""
        return [row[0] for row in self._all("SELECT data FROM evidence ORDER BY data", ())]

    def delete_evidence(self, settled: Iterable[bytes]) -> None:
        """Forget evidence that has nothing more to prove."""
        self._many("DELETE FROM evidence WHERE data = ?", ((one,) for one in settled))

    def is_fresh(self) -> bool:
        """Tell whether this database has neither decided nor signed anything: it is new, or it was wiped."""
        return self.height() == 0 and self._one("SELECT 1 FROM sign_state LIMIT 1", ()) is None

    # ---- blocks and state

    def save(self, decision: Decision) -> None:
        """Write a decided block and everything that follows from it; inputs up to its height are done with."""
        self._run(
            "INSERT INTO blocks VALUES (?, ?, ?, ?)",
            (decision.height, decision.block_id, decision.body, decision.commit),
        )
        self._save_rows(decision.rows)
        self.set_meta("head", decision.head)
        leaves = ((decision.first_leaf + n, x.hash, x.data, x.record, x.salt) for n, x in enumerate(decision.leaves))
        self._many("INSERT INTO leaves VALUES (?, ?, ?, ?, ?)", leaves)
        self._many("INSERT INTO settlement_lines VALUES (?, ?, ?)", decision.settlement_lines)
        self._many("INSERT OR IGNORE INTO readings VALUES (?, ?)", decision.readings)
        results = ((x.id, x.height, x.place, x.code, x.text, x.events) for x in decision.transactions)
        self._many("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)", results)
        self._run("DELETE FROM inputs WHERE height <= ?", (decision.height,))
        self._run("DELETE FROM candidates WHERE height <= ?", (decision.height,))
        self._run("DELETE FROM sign_state WHERE height < ?", (decision.height - KEPT_SIGNED_HEIGHTS,))

    def save_genesis(self, head: bytes, rows: Iterable[Write]) -> None:
        """Write the genesis state."""
        self._save_rows(rows)
        self.set_meta("head", head)

    def rows(self) -> Iterator[Write]:
        """Yield every state row."""
        for row in self._connection.execute("SELECT name, id, value FROM state_rows"):
            yield Write(*row)

    def meta(self, name: str) -> bytes | None:
        """Return a single value: `head` (a `state.Head`), `provable` (a `Provable`), `signs_from`."""
        row = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return row[0] if row else None

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a single value."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

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

    # ---- the log

    def log_size(self) -> int:
        """Return the number of leaves."""
        row = self._one("SELECT count(*) FROM leaves", ())
        return row[0] if row else 0

    def leaf_hashes(self, size: int) -> list[bytes]:
        """Return the hashes of the first *size* leaves, in order."""
        return [row[0] for row in self._all("SELECT hash FROM leaves WHERE place < ? ORDER BY place", (size,))]

    def receipt_leaf(self, result: TransactionResult) -> tuple[int, Leaf] | None:
        """Return place and leaf of a transaction's receipt: a block's leaves begin with its receipts, in order."""
        before = self.decided(result.height - 1)
        place = result.place + (decode(before[0]).header.log_size if before else 0)
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

    # ---- inside

    def _save_rows(self, rows: Iterable[Write]) -> None:
        for row in rows:
            if row.value is None:
                self._run("DELETE FROM state_rows WHERE name = ? AND id = ?", (row.table, row.key))
            else:
                self._run("INSERT OR REPLACE INTO state_rows VALUES (?, ?, ?)", (row.table, row.key, row.value))

    def _prepare(self, path: Path, chain_id: bytes) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._run(f"PRAGMA {pragma}", ())
        self._check_integrity(path)
        self._migrate()
        self._bind(chain_id, path)

    def _check_integrity(self, path: Path) -> None:
        verdict = self._one("PRAGMA quick_check(1)", ())
        if verdict != ("ok",):
            raise CorruptedError(_remedy(path, str(verdict and verdict[0])))

    def _migrate(self) -> None:
        row = self._one("PRAGMA user_version", ())
        version = row[0] if row else 0
        scripts = sorted((item for item in _SCHEMA.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
        if version > len(scripts):
            raise StoreError(f"the database has schema {version}; this program knows {len(scripts)}: update it")
        for number, script in enumerate(scripts[version:], version + 1):
            self._connection.executescript(f"BEGIN; {script.read_text()} PRAGMA user_version = {number}; COMMIT;")

    def _bind(self, chain_id: bytes, path: Path) -> None:
        known = self.meta("chain_id")
        if known is None:
            self.set_meta("chain_id", chain_id)
        elif known != chain_id:
            raise StoreError(
                f"{path} belongs to chain {known.hex()}, the genesis file to {chain_id.hex()}: use another data_dir"
            )

    def _run(self, statement: str, values: Sequence[Any]) -> None:
        self._connection.execute(statement, values)

    def _many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._connection.executemany(statement, rows)

    def _one(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()


def _lock(path: Path) -> IO[bytes]:
    """Claim the database for this process: two nodes with one key are what must never be."""
    lock = path.with_suffix(".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StoreError(f"another process runs on {path}: stop it, or give this node its own data_dir") from error
    return lock


def _fault(path: Path, error: sqlite3.DatabaseError) -> LedgerError:
    if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
        return StoreError(f"cannot open the database {path}: {error}")
    return CorruptedError(_remedy(path, str(error)))


def _remedy(path: Path, fault: str) -> str:
    return (
        f"the database {path} is damaged ({fault}): move the data directory away and start again to copy the chain"
        " from the other authorities; the node observes until it may sign again"
    )
