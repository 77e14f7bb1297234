"""The store refuses what it cannot trust, and keeps its limits."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.intake.refusals import Refusal, RefusalCode
from gateway.store import readings
from gateway.store.database import Database, count_schema_files
from gateway.store.readings import Batch, ReadingStore


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path)
    try:
        yield database
    finally:
        await database.close()


async def test_commits_are_durable_and_the_schema_has_a_number(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "gateway.sqlite"
    async with opened(path) as database, database.transaction() as connection:
        for pragma, wanted in (("journal_mode", "wal"), ("synchronous", 2), ("user_version", count_schema_files())):
            (row,) = await connection.execute_fetchall(f"PRAGMA {pragma}")
            assert row[0] == wanted


async def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    async with opened(tmp_path / "gateway.sqlite") as database:
        with pytest.raises(sqlite3.IntegrityError):
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO counters VALUES ('stored', 1)")
                await connection.execute("INSERT INTO counters VALUES ('stored', 2)")
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO counters VALUES ('stored', 3)")
        assert [tuple(row) for row in await database.query("SELECT * FROM counters")] == [("stored", 3)]


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT", "COMMIT"])
async def test_who_is_cancelled_at_any_statement_ends_as_cancelled_and_the_next_transaction_works(
    tmp_path: Path, statement: str
) -> None:
    async def write(name: str) -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO counters VALUES (?, 1)", (name,))

    def stop_at(sql: str) -> None:
        if sql.startswith(statement) and not reached.is_set():
            reached.set()
            assert cancelled.wait(10)

    async with opened(tmp_path / "gateway.sqlite") as database:
        reached, cancelled = threading.Event(), threading.Event()
        async with database.transaction() as connection:
            writer = connection
        await writer.set_trace_callback(stop_at)
        task = asyncio.create_task(write("cut short"))
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        await asyncio.wait([task])
        assert task.cancelled()
        await write("next")
        stored = {row[0] for row in await database.query("SELECT name FROM counters")}
        assert stored == ({"cut short", "next"} if statement == "COMMIT" else {"next"})


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_nothing_is_committed_to_a_file_that_was_removed_or_replaced_until_it_is_back(
    tmp_path: Path, how: str
) -> None:
    path, aside = tmp_path / "gateway.sqlite", tmp_path / "aside"
    async with opened(path) as database:
        path.rename(aside)
        if how == "replaced":
            shutil.copy(aside, path)
        with pytest.raises(sqlite3.OperationalError, match="was removed or replaced while it was open"):
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO counters VALUES ('stored', 1)")
        assert await database.query("SELECT * FROM counters") == []
        aside.rename(path)
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO counters VALUES ('stored', 2)")
        assert [tuple(row) for row in await database.query("SELECT * FROM counters")] == [("stored", 2)]


async def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    async with opened(path) as database, database.transaction() as connection:
        await connection.executemany("INSERT INTO counters VALUES (?, 1)", [(f"{n:0200}",) for n in range(200)])
    content = bytearray(path.read_bytes())
    content[-3000:-2000] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged .* restore it from a backup"):
        await Database.open(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    path.write_text("not a database, but long enough to be looked at " * 100)
    with pytest.raises(StoreError, match="cannot be used as the gateway's database"):
        await Database.open(path)


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    await (await Database.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"has schema 99, this program knows \d+; install the newer campusgrid"):
        await Database.open(path)


async def test_the_quarantine_keeps_the_newest_and_counts_what_it_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "QUARANTINE_MESSAGES", 5)
    async with opened(tmp_path / "gateway.sqlite") as database:
        store = ReadingStore(database)
        for start in (0, 4, 8):
            messages = [Refusal(RefusalCode.MALFORMED, "t", bytes([n]) * 2000) for n in range(start, start + 4)]
            await store.commit(Batch(quarantine=messages), {}, 1)
        rows = await database.query("SELECT raw, size FROM quarantine ORDER BY id")
        kept = [(row["raw"][0], len(row["raw"]), row["size"]) for row in rows]
        assert kept == [(n, 1024, 2000) for n in range(7, 12)]
        assert (store.counts["evicted"], store.counts["refused"]) == (7, 12)

        again = ReadingStore(database)
        await again.load()
        assert again.counts == store.counts
