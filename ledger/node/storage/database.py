"""One node's SQLite file (WAL, synchronous = FULL): opened, claimed, checked and brought to the newest schema.

What is in it is the subject of `sign_state`, `block_rows` and `log_rows`; `store` puts them together.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any, Final, Self

from ledger.errors import CorruptedError, LedgerError
from ledger.node.storage import write_ahead_log

BUSY_TIMEOUT_S: Final = 5.0
_SCHEMA: Final = resources.files("ledger.node.storage") / "schema"


class StoreError(LedgerError):
    """The database cannot be opened or written: the operator must act."""


class Database:
    """An open database. Use each instance from one thread at a time, and write through one instance only.

    `synced_s` is how long the newest transaction took to become durable.
    """

    def __init__(self, connection: sqlite3.Connection, lock: IO[bytes] | None = None) -> None:
        self._connection = connection
        self._lock = lock
        self.synced_s = 0.0

    @classmethod
    def open(cls, path: Path, chain_id: bytes) -> Self:
        """Open or create the database *path* of the chain; raises StoreError or CorruptedError."""
        with ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = opened.enter_context(claim(path))
                _require_whole_log(path)
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
    def open_reader(cls, path: Path) -> Self:
        """Open the existing database *path* for reading beside the writer."""
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        return cls(connection)

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has written."""
        row = self._one("PRAGMA data_version", ())
        return row[0] if row else 0

    def require_schema(self) -> None:
        """Raise StoreError where the database is of another schema than this program's: a reader cannot mend that."""
        row, known = self._one("PRAGMA user_version", ()), len(list(_scripts()))
        if row != (known,):
            text = f"the database has schema {row and row[0]}, this program reads {known}"
            raise StoreError(f"{text}: run the node and its readers from the same release, the node first")

    def close(self) -> None:
        """Close the database; nothing is pending outside `transaction`."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def interrupt(self) -> None:
        """Let what another thread does here fail at once with sqlite3.OperationalError."""
        self._connection.interrupt()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the body durably, or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        started_s = time.perf_counter()
        self._connection.execute("COMMIT")
        self.synced_s = time.perf_counter() - started_s

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let everything that the body reads be of one moment, whatever is written meanwhile."""
        self._connection.execute("BEGIN")
        try:
            self.meta("head")  # SQLite fixes the moment with the first read
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def meta(self, name: str) -> bytes | None:
        """Return a single value: `head` (a `state.Head`), `provable` and `witnessed` (each a `Provable`), or another.

        The others are those of `node.recovery.memory`.
        """
        row = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return row[0] if row else None

    def check_file(self) -> str:
        """Return `ok`, or what SQLite finds wrong with the file."""
        row = self._one("PRAGMA quick_check(1)", ())
        return str(row and row[0])

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a single value."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def delete_meta(self, name: str) -> None:
        """Forget a single value."""
        self._run("DELETE FROM meta WHERE name = ?", (name,))

    # ---- for the tables' own files

    def _prepare(self, path: Path, chain_id: bytes) -> None:
        for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL"):
            self._run(f"PRAGMA {pragma}", ())
        self._check_integrity(path)
        self._migrate()
        self._bind(chain_id, path)

    def _check_integrity(self, path: Path) -> None:
        verdict = self.check_file()
        if verdict != "ok":
            raise CorruptedError(_remedy(path, verdict))

    def _migrate(self) -> None:
        row = self._one("PRAGMA user_version", ())
        version = row[0] if row else 0
        scripts = _scripts()
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


def _scripts() -> list[Traversable]:
    return sorted((item for item in _SCHEMA.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)


def claim(path: Path) -> IO[bytes]:
    """Claim the database *path* for this process until the file is closed: two nodes with one key must never be.

    Raises StoreError where another process has it.
    """
    lock = path.with_suffix(".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        text = f"another process runs on {path}, a node or a command"
        raise StoreError(f"{text}: stop it or wait for it, or give this node a data_dir of its own") from error
    return lock


def _fault(path: Path, error: sqlite3.DatabaseError) -> LedgerError:
    if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
        return StoreError(f"cannot open the database {path}: {error}")
    return CorruptedError(_remedy(path, str(error)))


def _require_whole_log(path: Path) -> None:
    damaged = write_ahead_log.find_damage(path)
    if damaged is not None:
        raise CorruptedError(_remedy(path, f"its log of writes, frame {damaged}"))


def _remedy(path: Path, fault: str) -> str:
    return (
        f"the database {path} is damaged ({fault}): move the data directory away and start again to copy the chain"
        " from the other authorities; the node observes until it may sign again"
    )
