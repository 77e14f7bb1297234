"""Opening the gateway's SQLite file: WAL, every commit on the disk, numbered schema files, a check before use.

There is one writer connection, and one more for the questions of API and dashboard, which never wait for it. One
process at a time may hold the file: the chains of its meters are in its memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Final

import aiosqlite
import structlog

from gateway.errors import DamageError, StoreError
from gateway.store.mending import explain

BUSY_TIMEOUT_S: Final = 10
CACHE_KIB: Final = 32 * 1024
WAL_LIMIT_BYTES: Final = 64 * 2**20
ROOM_LEFT_BYTES: Final = 64 * 2**20
_INCREMENTAL: Final = 2
log = structlog.get_logger()


class Database:
    """An open store. Writes go through `transaction`, reads through `query`."""

    def __init__(
        self, path: Path, lock: IO[bytes] | None, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()
        self._file = _identify(path)

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Return the database at *path*, made or brought up to date if need be; raises StoreError."""
        lock = claim(path)
        if restored_beside(path).exists():
            lock.close()
            raise StoreError(
                f"{path}: a restore was cut short before it was done; run `campusgrid gateway restore` again"
            )
        async with AsyncExitStack() as opened:
            opened.callback(lock.close)
            writer = await _connect(path, f"file:{path}")
            opened.push_async_callback(writer.close)
            give_to_owner(path.parent, path)
            await _check(writer, path)
            try:
                await _migrate(writer, path)
                await _let_shrink(writer, path)
            except sqlite3.OperationalError as error:
                raise StoreError(f"{path}: cannot be brought up to date: {explain(error)}, then start") from error
            reader = await _connect(path, f"file:{path}?mode=ro")
            opened.pop_all()
        return cls(path, lock, writer, reader)

    @classmethod
    async def open_beside(cls, path: Path) -> Database:
        """Return the database at *path* whether a gateway runs on it or not; raises StoreError.

        Only for tables of which no process keeps anything in memory: people, sessions, keys, the audit log.
        """
        if await _read_version(path) != len(_read_schema()):
            await (await cls.open(path)).close()
        async with AsyncExitStack() as opened:
            writer = await _connect(path, f"file:{path}")
            opened.push_async_callback(writer.close)
            reader = await _connect(path, f"file:{path}?mode=ro")
            opened.pop_all()
        return cls(path, None, writer, reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Give the writer connection for one transaction; it is on the disk when the block is left.

        Raises sqlite3.OperationalError where the disk refuses it, and where the file at `path` is gone or another one.
        """
        async with self._writing:
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._require_file()
                await self._writer.execute("COMMIT")
            except BaseException:
                # a statement whose caller was cancelled is carried out all the same, the rollback behind it; where it
                # was the COMMIT, or BEGIN failed, there is nothing to roll back, which is no error here
                await self._writer.rollback()
                raise

    async def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT, as of the last commit."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    async def give_back(self, pages: int) -> bool:
        """Give up to *pages* free pages back to the disk, when the log is next written back; tell whether more are."""
        async with self._writing:
            await self._writer.execute_fetchall(f"PRAGMA incremental_vacuum({pages})")  # works as its rows are fetched
            (row,) = await self._writer.execute_fetchall("PRAGMA freelist_count")
            return int(row[0]) > 0

    async def close(self) -> None:
        """Close both connections; what was committed stays."""
        async with self._writing:
            await self._reader.close()
            await self._writer.close()
            if self._lock is not None:
                self._lock.close()

    def _require_file(self) -> None:
        """Refuse a commit to a file that was removed: SQLite takes it, and what it took ends with the process."""
        if _identify(self.path) != self._file:
            raise sqlite3.OperationalError(
                f"{self.path} was removed or replaced while it was open: put it back, or restore a backup"
            )


def _identify(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def restored_beside(path: Path) -> Path:
    """Return where a restore leaves the new database for the moment in which it takes the old one's place."""
    return path.with_name(path.name + ".restored")


def count_schema_files() -> int:
    """Return the number of the schema that this program writes."""
    return len(_read_schema())


def give_to_owner(folder: Path, *files: Path) -> None:
    """Let the gateway, which does not run as root, open what root has made in its *folder*."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for file in files:
            os.chown(file, owner.st_uid, owner.st_gid)


def claim(path: Path) -> IO[bytes]:
    """Claim the database for this process until the returned file is closed; raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("wb")
        give_to_owner(path.parent, path.with_suffix(".lock"))
    except OSError as error:
        raise StoreError(
            f"{path.parent}: cannot hold the gateway's database: {error.strerror}; mend that, or change `store`"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StoreError(f"{path}: another process works on it; stop that gateway first") from error
    return lock


async def _connect(path: Path, uri: str) -> aiosqlite.Connection:
    try:
        connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened as the gateway's database: {error}") from error
    try:
        await _configure(connection, is_writer="mode=ro" not in uri)
    except sqlite3.Error as error:
        await connection.close()
        kind = StoreError if isinstance(error, sqlite3.OperationalError) else DamageError
        raise kind(f"{path}: cannot be used as the gateway's database: {error}") from error
    return connection


async def _read_version(path: Path) -> int:
    if not await asyncio.to_thread(path.exists):
        return 0
    connection = await _connect(path, f"file:{path}?mode=ro")
    try:
        rows = list(await connection.execute_fetchall("PRAGMA user_version"))
    finally:
        await connection.close()
    return int(rows[0][0])


async def _configure(connection: aiosqlite.Connection, *, is_writer: bool) -> None:
    connection.row_factory = sqlite3.Row
    if is_writer:
        await connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes hold in a new file, before all else
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("PRAGMA foreign_keys = ON")
    await connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


async def _check(connection: aiosqlite.Connection, path: Path) -> None:
    try:
        rows = list(await connection.execute_fetchall("PRAGMA quick_check(1)"))
        finding = " ".join(str(rows[0][0]).split())
    except sqlite3.DatabaseError as error:
        finding = str(error)
    if finding != "ok":
        raise DamageError(
            f"{path}: the database is damaged ({finding}); restore it from a backup before starting: campusgrid"
            " doctor --config FILE prints the command"
        )


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    scripts = _read_schema()
    rows = list(await connection.execute_fetchall("PRAGMA user_version"))
    version = int(rows[0][0])
    if version > len(scripts):
        raise StoreError(
            f"{path}: has schema {version}, this program knows {len(scripts)}; install the newer campusgrid"
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        await connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


async def _let_shrink(connection: aiosqlite.Connection, path: Path) -> None:
    """Write a file anew that an older program made, so that it can give pages back to the disk; needs room for it."""
    (row,) = await connection.execute_fetchall("PRAGMA auto_vacuum")
    if int(row[0]) == _INCREMENTAL:
        return
    (row,) = await connection.execute_fetchall("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    size, free = int(row[0]), shutil.disk_usage(path.parent).free
    if free < 2 * size + ROOM_LEFT_BYTES:
        log.warning(
            "the database file cannot shrink until it is written anew, for which there is no room", size=size,
            free=free, next_step=f"free {(2 * size + ROOM_LEFT_BYTES - free) // 2**20 + 1} MiB, then restart",
        )  # fmt: skip
        return
    await connection.execute("VACUUM")
    await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")


def _read_schema() -> list[str]:
    """Return the schema scripts in the order of their numbers 0001, 0002, …, which have no gap."""
    files = sorted(
        (
            entry
            for entry in resources.files("gateway.store").joinpath("schema").iterdir()
            if entry.name.endswith(".sql")
        ),
        key=lambda entry: entry.name,
    )
    if [int(entry.name[:4]) for entry in files] != list(range(1, len(files) + 1)):
        raise StoreError("the schema files of this installation are incomplete; install campusgrid again")
    return [entry.read_text("utf-8") for entry in files]
