"""The chain of anchors in the database: what it covers, where it goes on, and the way from a reading to its anchor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.epochs.spans import Span
from gateway.ops import restore
from gateway.ops.backup import make_backup
from gateway.store.anchors import AnchorStore
from gateway.store.database import Database
from ledger import anchor
from ledger.anchor import Point
from tests.gateway.ops.conftest import Archive

GATEWAY = bytes(7) + b"\x03"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A database of two meters with 50 readings each."""
    made = Archive(tmp_path)
    made.fill(50)
    return made


@asynccontextmanager
async def opened(path: Path, point: Point | None = None) -> AsyncIterator[tuple[AnchorStore, Database]]:
    """Yield the anchors at *path*, made to go on from *point* if it is given."""
    database = await Database.open(path)
    try:
        store = AnchorStore(database, GATEWAY)
        await store.load()
        if point is not None:
            await store.resume(point)
        yield store, database
    finally:
        await database.close()


async def test_a_new_database_makes_no_anchor_before_the_ledger_said_where_the_chain_stands(archive: Archive) -> None:
    async with opened(archive.source.store) as (store, _):
        assert store.is_adrift
        assert await store.make(1000) is None
        await store.resume(Point(7, 990, b"h" * 32))
        made = await store.make(1000)
        assert made is not None
        assert (made.number, made.time, made.previous, made.count) == (8, 1000, b"h" * 32, 100)
    async with opened(archive.source.store) as (store, _):
        assert (store.is_adrift, store.newest) == (False, Point(8, 1000, made.hash))


async def test_an_anchor_takes_so_many_readings_at_most_and_the_next_one_the_rest(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.anchors.MAX_READINGS", 64)
    async with opened(archive.source.store, Point()) as (store, _):
        made = [await store.make(1000) for _ in range(3)]
    assert [one and (one.number, one.time, one.count) for one in made] == [(1, 1000, 64), (2, 1001, 36), (3, 1002, 0)]


async def test_every_reading_leads_to_its_anchor_and_none_leads_there_that_is_not_anchored(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.anchors.MAX_READINGS", 33)
    async with opened(archive.source.store, Point()) as (store, database):
        made = [await store.make(1000) for _ in range(3)]
        await store.make(1003)
        await archive_more(archive, database)
        for pen in archive.pens:
            for number in (1, 20, 49):
                found = await store.find_reading(pen.meter_id, number)
                assert found is not None
                assert found.anchor in made
                assert anchor.covers(found.anchor, found.reading_hash, found.index, found.path)
            assert await store.find_reading(pen.meter_id, 51) is None
            ((taken_at,),) = await database.query(
                "SELECT time FROM readings WHERE meter_id = ? AND sequence = 20", (pen.meter_id,)
            )
            own, others = (Span(taken_at, taken_at + 1),), (Span(0, taken_at), Span(taken_at + 1))
            assert await store.find_reading(pen.meter_id, 20, own) is not None
            assert await store.find_reading(pen.meter_id, 20, others) is None
        assert await store.find_reading(bytes(8), 1) is None
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM readings WHERE id = 5")
        assert await store.find_reading(archive.pens[0].meter_id, 1) is None


async def archive_more(archive: Archive, database: Database) -> None:
    """Store one more reading of each meter, by its bare row."""
    async with database.transaction() as connection:
        for pen in archive.pens:
            await connection.execute(
                "INSERT INTO readings (meter_id, sequence, hash, previous, time, reason, status, received_at, raw)"
                " VALUES (?, 51, zeroblob(32), zeroblob(8), 1, 1, 0, 1, x'00')",
                (pen.meter_id,),
            )


async def test_what_the_ledger_refuses_falls_with_all_behind_it_and_its_readings_are_anchored_anew(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.anchors.MAX_READINGS", 40)
    async with opened(archive.source.store, Point()) as (store, _):
        made = [await store.make(1000) for _ in range(3)]
        owed = await store.find_waiting(10)
        assert [one.anchor for one in owed] == made
        await store.mark_done([(owed[0], 0)])
        await store.refuse(owed[1], 304)
        assert store.is_adrift
        assert await store.find_waiting(10) == []
        await store.resume(Point(2, 2000, b"o" * 32))
        again = [await store.make(1000) for _ in range(2)]
        assert [one and (one.number, one.time, one.count) for one in again] == [(3, 2001, 40), (4, 2002, 20)]
        assert again[0] is not None
        assert again[0].previous == b"o" * 32
        assert await store.find_open() == (2, 2001)


async def test_anchors_that_link_to_the_ledgers_newest_still_stand_and_others_fall(archive: Archive) -> None:
    async with opened(archive.source.store, Point()) as (store, _):
        made = [await store.make(1000 + number) for number in range(3)]
        assert all(made)
        await store.resume(Point(1, 1000, made[0].hash))  # type: ignore[union-attr]
        assert store.newest == Point(3, 1002, made[2].hash)  # type: ignore[union-attr]
        await store.resume(Point())
        assert store.newest.number == 3
        await store.resume(Point(2, 1001, b"x" * 32))
        assert store.newest == Point(2, 1001, b"x" * 32)
        assert [one.anchor.number for one in await store.find_waiting(9)] == [1, 2]


async def test_old_anchors_that_the_ledger_has_go_and_the_others_stay(archive: Archive) -> None:
    async with opened(archive.source.store, Point()) as (store, database):
        for time in (1000, 2000, 3000, 4000):
            await store.make(time)
        owed = await store.find_waiting(9)
        await store.mark_done([(owed[0], 0), (owed[2], 0), (owed[3], 0)])
        await store.prune(9000)
        rows = await database.query("SELECT number FROM anchors ORDER BY number")
        assert [row["number"] for row in rows] == [2, 4]


def test_after_a_restore_the_ledger_is_asked_and_what_was_anchored_stays_so(archive: Archive) -> None:
    asyncio.run(make_two(archive))
    file = archive.settings.folder / make_backup(archive.source, archive.settings, 1000).file
    restore.restore(file, bytes(archive.opening), archive.source, may_be_older=True, now=2000)
    asyncio.run(check_restored(archive))


async def make_two(archive: Archive) -> None:
    async with opened(archive.source.store, Point()) as (store, _):
        assert await store.make(1000)
        assert await store.make(1001)
        assert not store.is_adrift


async def check_restored(archive: Archive) -> None:
    async with opened(archive.source.store) as (store, database):
        assert store.is_adrift
        await store.resume(Point(5, 1500, b"l" * 32))
        made = await store.make(1600)
        assert made is not None
        assert (made.number, made.count) == (6, 0)
        rows = await database.query("SELECT meter_id, sequence FROM readings ORDER BY id DESC LIMIT 1")
        found = await store.find_reading(*rows[0])
        assert found is not None
        assert anchor.covers(found.anchor, found.reading_hash, found.index, found.path)
