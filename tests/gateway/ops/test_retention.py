"""Old raw readings go and the disk gets its room back; what proves an interval or a chain stays, and nothing forks."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.enrolment import Enrolment
from gateway.intake.pipeline import Message, Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.ops.backup import make_backup
from gateway.ops.retention import DAY_S, Retention
from gateway.store import database as database_file
from gateway.store.database import Database
from gateway.store.queries import Queries
from gateway.store.readings import ReadingStore
from gateway.store.retention import KEPT_NUMBERS, ROWS_PER_STEP, RetentionStore
from tests.gateway.ops.conftest import Archive
from tests.gateway.plant import EPOCH_S, Pen
from tests.gateway.sink import Sink

EACH = 2 * ROWS_PER_STEP
BOUNDARY_EVERY = 10


@pytest.fixture
async def old(tmp_path: Path) -> Archive:
    """A database of two meters with readings that came long ago, every tenth at a boundary, and one that came today."""
    archive = Archive(tmp_path)
    await archive.store([(pen, taken(pen)) for _ in range(EACH) for pen in archive.pens])
    with closing(sqlite3.connect(archive.source.store)) as connection, connection:
        connection.execute("UPDATE readings SET received_at = received_at - ?", (100 * DAY_S,))
    await archive.store(archive.sign(1))
    return archive


def taken(pen: Pen) -> bytes:
    is_boundary = (pen.sequence + 1) % BOUNDARY_EVERY == 0
    return pen.sign(epoch=pen.sequence // BOUNDARY_EVERY) if is_boundary else pen.sign()


async def test_raw_readings_go_boundaries_and_the_newest_stay_and_every_chain_is_proven_still(old: Archive) -> None:
    async with working(old) as (database, store, pruning):
        intervals = await Queries(database).boundaries([pen.meter_id for pen in old.pens], 0, EACH)
        await applied(pruning, days=90)
        rows = await database.query("SELECT sequence, epoch FROM readings WHERE meter_id = ?", (old.pens[0].meter_id,))
        raw = [row["sequence"] for row in rows if row["epoch"] is None]
        assert EACH - KEPT_NUMBERS <= min(raw) <= EACH
        assert len(rows) - len(raw) == EACH // BOUNDARY_EVERY
        assert await Queries(database).boundaries([pen.meter_id for pen in old.pens], 0, EACH) == intervals
        assert set(store.floors.values()) == {EACH - KEPT_NUMBERS}
    assert make_backup(old.source, old.settings, time.time()).readings == len(rows) * 2


async def test_notes_go_with_their_readings_and_stay_with_those_that_stay(old: Archive) -> None:
    pen = old.pens[0]
    async with working(old) as (database, _, pruning):
        async with database.transaction() as connection:
            rows = [(pen.meter_id, number, 34) for number in (2, BOUNDARY_EVERY, pen.sequence)]
            await connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
        await applied(pruning, days=90)
        left = [row[0] for row in await database.query("SELECT sequence FROM notes ORDER BY sequence")]
        assert left == [BOUNDARY_EVERY, pen.sequence]
        gone = (await Queries(database).counters())["readings_pruned"]
        assert gone == 2 * (EACH + 1) - (await database.query("SELECT count(*) FROM readings"))[0][0]


async def test_the_disk_gets_its_room_back(old: Archive) -> None:
    size = old.source.store.stat().st_size
    async with working(old) as (database, _store, pruning):
        await applied(pruning, days=90)
        await database.query("SELECT 1")
    assert old.source.store.stat().st_size < size / 2


async def test_a_database_of_an_older_program_is_written_anew_so_that_it_can_shrink(old: Archive) -> None:
    with closing(sqlite3.connect(old.source.store)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    size = old.source.store.stat().st_size
    async with working(old) as (_database, _store, pruning):
        await applied(pruning, days=90)
    assert old.source.store.stat().st_size < size / 2


async def test_without_the_room_to_write_it_anew_the_gateway_starts_all_the_same(
    old: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(old.source.store)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    monkeypatch.setattr(database_file, "ROOM_LEFT_BYTES", 2**60)
    with capture_logs() as logs:
        await (await Database.open(old.source.store)).close()
    assert "cannot shrink until it is written anew" in str(logs)


async def test_readings_whose_time_is_not_over_stay(old: Archive) -> None:
    async with working(old) as (database, _store, pruning):
        await applied(pruning, days=101)
        assert (await database.query("SELECT count(*) AS n FROM readings"))[0]["n"] == 2 * (EACH + 1)


@pytest.mark.parametrize(("clock_s", "ledger_s"), [(400 * DAY_S, 0), (0, 400 * DAY_S), (0, None)])
async def test_a_clock_or_a_ledger_alone_that_says_much_time_has_passed_removes_nothing(
    old: Archive, clock_s: int, ledger_s: int | None
) -> None:
    now = time.time()
    async with working(old) as (database, _store, pruning):
        ledger_time = None if ledger_s is None else now + ledger_s
        rule = Retention(pruning, old.folder, 101, lambda: now + clock_s, lambda: ledger_time)
        await rule.apply()
        assert (await database.query("SELECT count(*) AS n FROM readings"))[0]["n"] == 2 * (EACH + 1)


async def test_a_reading_that_comes_again_after_it_went_is_a_duplicate_and_no_evidence(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    raws = [taken(archive.pens[0]) for _ in range(EACH)]
    await archive.store([(archive.pens[0], raw) for raw in raws])
    other = archive.pens[0].copy()
    other.sequence, other.previous = 98, bytes(8)
    forged = other.sign(epoch=4711)  # another boundary reading under a number that went: that one can be told
    async with working(archive) as (database, store, pruning):
        enrolment = Enrolment(tmp_path / "roster.json", archive.source.roster)
        sink, verifier = Sink(), Verifier(enrolment)
        receipts = Receipts(archive.key, lambda: None, time.time)
        pipeline = Pipeline(sink, verifier, store, receipts, enrolment, EPOCH_S)
        running = asyncio.create_task(pipeline.run())
        await applied(pruning, days=-1)
        await sink.offer([Message(archive.pens[0].topic, raw, 0, 0) for raw in (raws[4], raws[9], forged)])
        await running
        verifier.close()
        assert store.counts["duplicates"] == 2
        rows = await database.query("SELECT sequence, refusal FROM evidence")
        assert [row["sequence"] for row in rows] == [99]


async def test_intake_has_its_turn_between_the_steps(old: Archive) -> None:
    async with working(old) as (database, store, pruning):
        committed = 0

        async def keep_storing() -> None:
            nonlocal committed
            while True:
                async with database.transaction() as connection:
                    await connection.execute(
                        "INSERT INTO counters VALUES ('x', 1) ON CONFLICT DO UPDATE SET value = value + 1"
                    )
                committed += 1
                await asyncio.sleep(0)

        intake = asyncio.create_task(keep_storing())
        await applied(pruning, days=90)
        intake.cancel()
        assert store.floors
        assert committed > 2 * len(old.pens)


async def test_a_disk_that_takes_nothing_is_told_of_and_the_rule_goes_on_later(old: Archive) -> None:
    async with working(old) as (database, _store, pruning):
        rule = Retention(pruning, old.folder, 90, time.time, time.time)
        async with database.transaction() as connection:
            await connection.execute("PRAGMA query_only = ON")
        await rule.apply()
        assert "old readings cannot be removed: attempt to write a readonly database" in str(rule.faults())
        await database._writer.execute("PRAGMA query_only = OFF")
        await rule.apply()
        assert rule.faults() == []


async def applied(pruning: RetentionStore, days: int) -> None:
    """Apply the rule of *days* by today's clock."""
    rule = Retention(pruning, Path(), days, time.time, time.time)
    await rule.apply()
    assert rule.fault is None


@asynccontextmanager
async def working(archive: Archive) -> AsyncIterator[tuple[Database, ReadingStore, RetentionStore]]:
    database = await Database.open(archive.source.store)
    try:
        store = ReadingStore(database)
        await store.load()
        yield database, store, RetentionStore(database, store)
    finally:
        await database.close()
