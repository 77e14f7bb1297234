"""A walk through stored readings meets each wanted one once, in bounded steps, whatever was deleted between them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.epochs.spans import ALWAYS, Sight, Span
from gateway.store import walk as walk_module
from gateway.store.database import Database
from gateway.store.walk import Place, Walk, Wanted

METERS = [bytes([number]) * 8 for number in range(1, 5)]
ROWS = 120
COLUMNS = "meter_id, sequence, hash, previous, time, reason, status, received_at, raw"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A store of four meters' readings, mixed, with gaps where retention deleted some; times go back now and then."""
    chance = random.Random(7)
    opened = await Database.open(tmp_path / "gateway.sqlite")
    sequences = dict.fromkeys(METERS, 0)
    async with opened.transaction() as connection:
        for _ in range(ROWS):
            meter = chance.choice(METERS[:3])
            sequences[meter] += chance.randint(1, 3)
            await connection.execute(
                f"INSERT INTO readings ({COLUMNS}) VALUES (?, ?, zeroblob(32), zeroblob(8), ?, 0, 0, 0, x'00')",
                (meter, sequences[meter], chance.randrange(1000)),
            )
        await connection.execute(
            "DELETE FROM readings WHERE id BETWEEN 1 AND 20 OR id BETWEEN 50 AND 70 OR id % 11 = 0"
        )
    yield opened
    await opened.close()


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
@pytest.mark.parametrize("meters", [None, [METERS[1]], [METERS[2], METERS[0]], [METERS[3]], METERS, []])
@pytest.mark.parametrize("times", [(0, 2**62), (300, 700), (999, 999)])
async def test_pages_together_are_what_was_wanted_once(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    meters: list[bytes] | None,
    times: tuple[int, int],
) -> None:
    monkeypatch.setattr(walk_module, "SCAN_ROWS", 5)
    wanted = Wanted(meters if meters is None else dict.fromkeys(meters, ALWAYS), *times)
    found: list[sqlite3.Row] = []
    after: Place | None = None
    for _ in range(ROWS + 2):
        page, after = await Walk(database).page(wanted, after, limit)
        assert len(page) <= limit
        found += page
        if after is None:
            break
    assert after is None
    every = await database.query("SELECT * FROM readings WHERE time >= ? AND time < ?", times)
    expected = [(row["meter_id"], row["sequence"]) for row in every if meters is None or row["meter_id"] in meters]
    numbers = [(row["meter_id"], row["sequence"]) for row in found]
    assert numbers == (expected if meters is None else sorted(expected))


HANDED_OVER: Sight = {METERS[0]: (Span(0, 400), Span(600, 700)), METERS[2]: (Span(500, 2**62),)}


def is_seen(row: sqlite3.Row, sight: Sight) -> bool:
    """Tell whether the reading in *row* was taken in a time that *sight* has of its meter."""
    return any(span.first_s <= row["time"] < span.end_s for span in sight.get(row["meter_id"], ()))


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("times", [(0, 2**62), (300, 650)])
async def test_of_a_meter_that_changed_hands_only_the_own_times_are_met(
    database: Database, limit: int, times: tuple[int, int]
) -> None:
    found: list[sqlite3.Row] = []
    after: Place | None = None
    for _ in range(ROWS + 2):
        page, after = await Walk(database).page(Wanted(HANDED_OVER, *times), after, limit)
        found += page
        if after is None:
            break
    every = await database.query("SELECT * FROM readings WHERE time >= ? AND time < ?", times)
    expected = sorted((row["meter_id"], row["sequence"]) for row in every if is_seen(row, HANDED_OVER))
    assert [(row["meter_id"], row["sequence"]) for row in found] == expected
    assert {meter for meter, _ in expected} == set(HANDED_OVER)


@pytest.mark.parametrize("meters", [None, {METERS[1]: ALWAYS}, HANDED_OVER])
async def test_new_readings_are_followed_by_the_order_in_which_they_were_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch, meters: Sight | None
) -> None:
    monkeypatch.setattr(walk_module, "NEW_ROWS", 4)
    found: list[int] = []
    row, further = -1, 0
    while further != row:
        row = further
        page, further = await Walk(database).new(meters, row)
        found += [one["id"] for one in page]
    every = await database.query("SELECT id, meter_id, time FROM readings ORDER BY id")
    assert found == [one["id"] for one in every if meters is None or is_seen(one, meters)]
    assert row == await Walk(database).newest()


@pytest.mark.parametrize("where", ["", "meter_id = ? AND "])
async def test_a_step_is_answered_from_an_index(database: Database, where: str) -> None:
    column = "sequence" if where else "id"
    plan = await database.query(
        f"EXPLAIN QUERY PLAN SELECT * FROM readings WHERE {where}{column} > ? AND {column} <= ? AND time >= 0"
        f" ORDER BY {column} LIMIT 10",
        ((METERS[0], 1, 2) if where else (1, 2)),
    )
    text = " ".join(row["detail"] for row in plan)
    assert "SEARCH" in text
    assert "TEMP B-TREE" not in text
