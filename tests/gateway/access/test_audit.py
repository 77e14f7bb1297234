"""An altered, removed or inserted row of the audit log shows, whoever made it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.access import audit
from gateway.access.audit import Actor, AuditLog, Head
from gateway.store.database import Database

ROWS = 5
FORGE = "INSERT INTO audit SELECT {number}, at, 'nobody', origin, action, subject, detail, previous, hash FROM audit"


async def written(database: Database, rows: int = ROWS) -> AuditLog:
    """Return a log with *rows* rows."""
    for number in range(rows):
        async with database.transaction() as connection:
            await audit.append(connection, 1000 + number, Actor("anna", "10.0.0.1"), "add key", "k", number=number)
    return AuditLog(database)


async def test_a_log_that_nobody_touched_is_whole_and_goes_on_from_every_noted_head(database: Database) -> None:
    log = await written(database)
    noted, faults = await log.verify()
    assert (noted.count, faults) == (ROWS, [])
    await written(database, 2)
    assert (await log.verify(noted))[1] == []
    assert (await log.verify())[0].count == ROWS + 2
    assert [row.id for row in await log.page(None, 3)] == [7, 6, 5]
    assert [row.id for row in await log.page(5, 100)] == [4, 3, 2, 1]


async def test_an_empty_log_is_whole(database: Database) -> None:
    assert await AuditLog(database).verify() == (Head(), [])


async def test_a_log_of_several_pages_is_walked_to_its_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE_ROWS", 2)
    log = await written(database, 4)
    assert (await log.verify())[0].count == 4
    await written(database, 1)
    assert (await log.verify())[0].count == 5


async def test_the_database_itself_refuses_to_change_or_shorten_the_log(database: Database) -> None:
    await written(database)
    for sql in ("DELETE FROM audit WHERE id = 2", "UPDATE audit SET who = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="the audit log is never"):
            async with database.transaction() as connection:
                await connection.execute(sql)


@pytest.mark.parametrize(
    ("forgery", "said"),
    [
        *[(f"UPDATE audit SET {column} = 'x' WHERE id = 3", "row 3 is not what was written")
          for column in ("who", "origin", "action", "subject", "detail")],
        ("UPDATE audit SET at = 1 WHERE id = 3", "row 3 is not what was written"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE id = 5", "row 5 is not what was written"),
        ("UPDATE audit SET previous = zeroblob(32) WHERE id = 3", "row 3 is not what was written"),
        ("DELETE FROM audit WHERE id = 1", "row 1 is missing"),
        ("DELETE FROM audit WHERE id = 3", "row 3 is missing"),
        ("DELETE FROM audit WHERE id = 5", "its head is noted as row 5"),
        ("DELETE FROM audit", "its head is noted as row 5"),
        ("DELETE FROM audit_head", "its head is noted as row 0"),
        (FORGE.format(number=6) + " WHERE id = 5", "row 6 is not what was written"),
        (FORGE.format(number=0) + " WHERE id = 1", "row 1 is missing: row 0 follows row 0"),
        ("UPDATE audit SET id = id + 100 WHERE id > 2; " + FORGE.format(number=3) + " WHERE id = 2",
         "row 3 is not what was written"),
    ],
)  # fmt: skip
async def test_a_forgery_is_found_and_named(database: Database, forgery: str, said: str) -> None:
    log = await written(database)
    forge(database.path, forgery)
    _, faults = await log.verify()
    assert len(faults) == 1
    assert said in faults[0]


async def test_a_row_put_in_with_a_hash_of_its_own_does_not_follow(database: Database) -> None:
    log = await written(database)
    row = (await log.page(None, 1))[0]
    forged = audit.Row(6, row.at, "nobody", row.origin, row.action, row.subject, row.detail, bytes(32), b"")
    values = (6, row.at, "nobody", row.origin, row.action, row.subject, row.detail, bytes(32), forged.compute_hash())
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    _, faults = await log.verify()
    assert faults == ["row 6 does not follow row 5: one of the two was put in later"]


async def test_a_log_written_anew_as_a_whole_shows_against_a_head_noted_elsewhere(database: Database) -> None:
    log = await written(database)
    noted, _ = await log.verify()
    forge(database.path, "DELETE FROM audit; DELETE FROM audit_head")
    for _ in range(ROWS + 1):
        async with database.transaction() as connection:
            await audit.append(connection, 1, Actor("nobody", ""), "nothing", "")
    assert (await log.verify())[1] == []
    assert "row 5 is not the one that was noted" in (await log.verify(noted))[1][0]
    forge(database.path, "DELETE FROM audit; DELETE FROM audit_head")
    assert "before the noted row 5" in (await log.verify(noted))[1][0]


async def test_a_row_is_written_with_what_it_tells_of_or_not_at_all(database: Database) -> None:
    log = await written(database)
    with pytest.raises(RuntimeError, match="power cut"):
        async with database.transaction() as connection:
            await audit.append(connection, 1, Actor("anna", ""), "add key", "k")
            raise RuntimeError("power cut")
    assert (await log.verify())[0].count == ROWS


def forge(path: Path, sql: str) -> None:
    """Change the database as one who is not held by its triggers."""
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP TRIGGER IF EXISTS audit_keeps_rows; DROP TRIGGER IF EXISTS audit_keeps_text;")
        connection.executescript(sql)
    connection.close()
