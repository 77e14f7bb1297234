"""Each error of the database is told with the step that mends it, and no other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store.database import Database
from gateway.store.mending import explain


def test_a_full_a_read_only_and_a_busy_database_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        one.execute("CREATE TABLE t (x)")
        one.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as full:
            one.execute("INSERT INTO t VALUES (zeroblob(100000))")
        one.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError) as busy:
            other.execute("SELECT * FROM t")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        with pytest.raises(sqlite3.OperationalError) as read_only:
            reader.execute("CREATE TABLE u (x)")
        with pytest.raises(sqlite3.OperationalError) as odd:
            reader.execute("SELECT * FROM nowhere")
    assert explain(full.value) == "database or disk is full; free disk space"
    assert explain(busy.value) == "database is locked; end what else works on the database"
    assert explain(read_only.value).endswith("; make the disk writable for the gateway")
    assert explain(odd.value) == "no such table: nowhere; campusgrid doctor says more"


async def test_a_database_that_was_removed_is_not_told_to_free_space(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "a.sqlite")
    try:
        database.path.unlink()
        with pytest.raises(sqlite3.OperationalError) as gone:
            async with database.transaction():
                pass
    finally:
        await database.close()
    assert explain(gone.value).endswith("put it back, or restore a backup")
