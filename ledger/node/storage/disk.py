"""The store behind its threads: one that writes, in whole transactions, and one that reads beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ledger.node.storage.store import Store, StoreError

T = TypeVar("T")


class DiskReader:
    """A store that is read from the event loop, in a thread of its own: who reads much holds nobody else up."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._thread = store, ThreadPoolExecutor(1, name)

    @classmethod
    def open(cls, path: Path, name: str) -> DiskReader:
        """Open the existing database *path* beside its writer; *name* is the thread's."""
        return cls(Store.open_reader(path), name)

    async def read(self, query: Callable[[Store], T]) -> T:
        """Return what *query* reads from the newest committed state."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, query, self._store)

    def close(self) -> None:
        """Finish what is being read and close."""
        self._thread.shutdown()
        self._store.close()


class Disk:
    """An open store for use from the event loop. Awaiting `commit` means: it is on the disk.

    `on_synced` is told, in the writing thread, how many seconds each transaction took to become durable.
    """

    def __init__(self, writer: Store, reader: Store) -> None:
        self.on_synced: Callable[[float], None] = lambda _: None
        self._writer, self._reader = writer, DiskReader(reader, "disk-read")
        self._write_thread = ThreadPoolExecutor(1, "disk-write")

    @classmethod
    def open(cls, path: Path, chain_id: bytes) -> Disk:
        """Open the database *path* of the chain; raises StoreError or CorruptedError."""
        return cls(Store.open(path, chain_id), Store.open_reader(path))

    async def commit(self, write: Callable[[Store], T]) -> T:
        """Run *write* in one transaction and return its result once it is durable; an exception rolls it back.

        Raises StoreError where the disk refuses.
        """
        return await asyncio.get_running_loop().run_in_executor(self._write_thread, self._transact, write)

    async def read(self, query: Callable[[Store], T]) -> T:
        """Return what *query* reads from the newest committed state."""
        return await self._reader.read(query)

    def close(self) -> None:
        """Finish what is being written and close."""
        self._write_thread.shutdown()
        self._reader.close()
        self._writer.close()

    def _transact(self, write: Callable[[Store], T]) -> T:
        try:
            with self._writer.transaction():
                result = write(self._writer)
        except sqlite3.Error as error:
            text = f"cannot write the database: {error}; make room or mend the disk, then start the node again"
            raise StoreError(text) from error
        self.on_synced(self._writer.synced_s)
        return result
