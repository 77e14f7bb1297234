"""A restore takes only what fits, changes nothing when it refuses, and knows ever after that time is missing."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from nacl.public import PrivateKey as OpeningKey

from gateway.access.audit import Actor
from gateway.access.doorkeeper import Doorkeeper
from gateway.access.keys import Scope
from gateway.access.operator import command_line_actor
from gateway.access.roles import Role
from gateway.checks.checker import MAX_READINGS
from gateway.errors import BackupError, StoreError
from gateway.intake.refusals import Refusal, RefusalCode
from gateway.ops import restore
from gateway.ops.backup import make_backup, require_memory
from gateway.settings import load_gateway
from gateway.store.checks import CheckStore
from gateway.store.database import Database, claim, restored_beside
from gateway.store.restores import RestoreStore
from ledger.keys import PrivateKey
from tests.gateway.ops.conftest import Archive
from tests.gateway.plant import EPOCH_S, Line, Plant, wait_for
from tests.gateway.test_run import run


def test_what_was_backed_up_comes_back_and_the_database_before_is_kept(archive: Archive) -> None:
    file = backed_up(archive)
    archive.source.store.write_bytes(b"\xff" * 100_000)
    done = restored(archive, file)
    assert rows(archive.source.store, "SELECT meter_id, sequence FROM readings ORDER BY 1, 2") == sorted(
        (pen.meter_id, number) for pen in archive.pens for number in range(1, 51)
    )
    assert done.replaced is not None
    assert done.replaced.read_bytes() == b"\xff" * 100_000
    archive.fill(1)
    assert rows(archive.source.store, "SELECT DISTINCT head FROM chains") == [(51,)]


async def test_a_restore_is_in_the_audit_log_and_nobody_stays_logged_in(archive: Archive) -> None:
    async with opened_access(archive) as door:
        link = await door.people.add("anna", Role.OPERATOR, None, Actor("admin", "test"))
        invitation = await door.people.read_link(link)
        assert invitation is not None
        session = await door.enrol(invitation, "", "correct horse battery", "test")
        assert await door.sessions.find(session) is not None
        unused = await door.people.add("bert", Role.OPERATOR, None, Actor("admin", "test"))
    file = backed_up(archive)
    restored(archive, file)
    async with opened_access(archive) as door:
        assert await door.sessions.find(session) is None
        assert await door.people.read_link(unused) is None
        (newest,) = await door.audit.page(None, 1)
        assert (newest.action, newest.subject, newest.who) == ("restore backup", file.name, command_line_actor().who)
        assert (await door.audit.verify())[1] == []


def test_ids_given_out_after_the_backup_are_never_given_again(archive: Archive) -> None:
    file = backed_up(archive)
    given = {number for (number,) in rows(archive.source.store, "SELECT id FROM readings")}
    copies = [pen.copy() for pen in archive.pens]
    for _ in range(3):
        archive.fill(10)
        given |= {number for (number,) in rows(archive.source.store, "SELECT id FROM readings")}
        restored(archive, file, may_be_older=True)
        archive.pens = [pen.copy() for pen in copies]
        archive.fill(1)
        new = {number for (number,) in rows(archive.source.store, "SELECT id FROM readings WHERE sequence > 50")}
        assert min(new) > max(given)
        given |= new
    assert len(rows(archive.source.store, "SELECT generation FROM restores")) == 1


async def test_after_a_restore_what_comes_is_checked_at_once_and_the_quarantine_is_kept(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    await archive.store(archive.sign(50))
    refused = [Refusal(RefusalCode.MALFORMED, f"meter/{number}/reading", b"?") for number in range(3)]
    await archive.quarantine(refused[:2])
    file = backed_up(archive)
    restored(archive, file, may_be_older=True)
    await archive.store(archive.sign(1))
    await archive.quarantine(refused[2:])
    async with opened_checks(archive) as checks:
        last, *_ = await checks.unchecked(MAX_READINGS)
    assert last == rows(archive.source.store, "SELECT max(id) FROM readings")[0][0]
    assert rows(archive.source.store, "SELECT topic FROM quarantine ORDER BY id") == [(one.topic,) for one in refused]


@pytest.mark.parametrize("keeps_access", [False, True])
async def test_who_was_shut_out_since_the_backup_stays_out_unless_the_operator_wants_otherwise(
    archive: Archive, *, keeps_access: bool
) -> None:
    admin = Actor("admin", "test")
    async with opened_access(archive) as door:
        link = await door.people.add("anna", Role.ADMIN, None, admin)
        invitation = await door.people.read_link(link)
        assert invitation is not None
        await door.enrol(invitation, "", "correct horse battery", "test")
        key = await door.keys.add(Scope("program", Role.OPERATOR), None, admin)
    file = backed_up(archive)
    async with opened_access(archive) as door:
        await door.people.disable("anna", admin)
        (made,) = await door.keys.all()
        await door.keys.revoke(made.id, admin)
    restored(archive, file, keeps_access=keeps_access)
    async with opened_access(archive) as door:
        assert (await door.log_in("anna", "correct horse battery", "test") is not None) == keeps_access
        assert (await door.keys.find(key) is not None) == keeps_access
        invitation = await door.people.read_link(await door.people.renew_link("anna", admin))
        assert invitation is not None
        await door.enrol(invitation, "", "correct horse battery", "test")
        assert await door.log_in("anna", "correct horse battery", "test") is not None


@pytest.mark.parametrize("place", [0.0, 0.002, 0.01, 0.3, 0.6, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("harm", ["flip", "cut", "extend"])
def test_a_backup_with_a_changed_byte_or_a_missing_or_further_one_is_refused(
    archive: Archive, harm: str, place: float
) -> None:
    file = backed_up(archive)
    content = bytearray(file.read_bytes())
    at = min(len(content) - 1, int(place * len(content)))
    if harm == "flip":
        content[at] ^= 1
    elif harm == "cut":
        del content[at:]
    else:
        content[at:at] = b"\0"
    file.write_bytes(content)
    refused(archive, file, r"is damaged, cut short or altered|is no backup of this program|not that of the given")


def test_a_backup_for_another_private_key_is_refused(archive: Archive) -> None:
    file = backed_up(archive)
    archive.opening = OpeningKey.generate()
    refused(archive, file, "was encrypted to the public key [0-9a-f]{64}, which is not that of the given private key")


def test_a_backup_of_another_gateway_is_refused(archive: Archive) -> None:
    file = backed_up(archive)
    archive.key = PrivateKey(bytes(32))
    refused(archive, file, "is of the gateway with the receipt key .*; give a backup of this gateway")


def test_a_backup_of_another_campus_is_refused(archive: Archive) -> None:
    file = backed_up(archive)
    archive.chain = bytes(8)
    refused(archive, file, "is of the ledger .*, this gateway's genesis is 0000000000000000")


def test_a_backup_with_other_meters_is_refused(archive: Archive) -> None:
    file = backed_up(archive)
    other = Archive(archive.folder, key=archive.key, opening=archive.opening, chain=archive.chain)
    with pytest.raises(BackupError, match="the roster has no key of any meter in it; it is of another campus"):
        restored(other, file)


def test_a_backup_of_a_newer_program_is_refused(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    file = backed_up(archive)
    monkeypatch.setattr("gateway.ops.inspection.count_schema_files", lambda: 1)
    refused(archive, file, r"has schema \d+, this program knows 1; install the newer campusgrid")


def test_a_backup_that_knows_less_is_refused_until_told_so(archive: Archive) -> None:
    file = backed_up(archive)
    archive.fill(1)
    refused(archive, file, "is whole and holds newer readings of 2 meters than .*, add --older")
    restored(archive, file, may_be_older=True)
    assert rows(archive.source.store, "SELECT max(head) FROM chains") == [(50,)]


def test_a_database_in_use_is_not_replaced(archive: Archive) -> None:
    file = backed_up(archive)
    with closing(claim(archive.source.store)), pytest.raises(StoreError, match="stop that gateway first"):
        restored(archive, file)


async def test_a_restore_that_was_cut_short_keeps_the_gateway_from_starting_until_repeated(archive: Archive) -> None:
    shutil.copy(archive.source.store, restored_beside(archive.source.store))
    with pytest.raises(StoreError, match="was cut short before it was done; run `campusgrid gateway restore` again"):
        await Database.open(archive.source.store)
    with claim(archive.source.store):
        pass


@pytest.mark.parametrize("left", [None, b"", bytes(4096)])
def test_a_gateway_whose_database_is_gone_does_not_begin_without_a_memory(
    archive: Archive, plant: Plant, left: bytes | None
) -> None:
    settings = load_gateway(plant.config).model_copy(update={"backup": archive.settings, "store": archive.source.store})
    require_memory(settings)
    make_backup(archive.source, archive.settings, time.time())
    require_memory(settings)
    if left is None:
        archive.source.store.unlink()
    else:
        archive.source.store.write_bytes(left)
    with pytest.raises(BackupError, match="the database is gone, but it was backed up: `campusgrid gateway restore"):
        require_memory(settings)
    (archive.settings.folder / "last-restored.json").unlink()
    require_memory(settings)


def test_a_gateway_with_an_old_memory_gives_no_receipt_that_takes_back_another(plant: Plant, tmp_path: Path) -> None:
    """The operator's way as the README has it, with the printed commands alone."""
    pen, name = plant.pens[0], plant.pens[0].meter_id.hex()
    pen.time = int(time.time()) - 1000
    key = tmp_path / "away" / "backup.key"
    key.parent.mkdir()
    plant.config.write_text(
        plant.config.read_text() + f'[backup]\nfolder = "backups"\n{printed("backup-key", str(key))}'
    )
    line = plant.line(name)
    gateway = plant.start()
    line.send(pen.topic, *[pen.sign() for _ in range(3)])
    line.newest_receipt(3, plant.receipt_key.public_key)
    assert "restored on trial: 3 readings of 1 meters" in printed("backup", "--config", str(plant.config))
    (file,) = (plant.config.parent / "backups").glob("*.backup")
    first = int(pen.time) // EPOCH_S
    line.send(pen.topic, pen.sign(epoch=first), pen.sign(), pen.sign(epoch=first + 1))
    line.newest_receipt(6, plant.receipt_key.public_key)
    stored = plant.rows("SELECT id, raw FROM readings ORDER BY id")
    arguments = (str(file), "--key", str(key), "--config", str(plant.config))
    assert "another process works on it; stop that gateway first" in run("restore", *arguments).stderr
    gateway.kill()
    for wrong, said in ((file.parent, "Is a directory"), (file.with_name("none"), "No such file or directory")):
        assert f"{wrong}: {said}; name a .backup file" in run("restore", str(wrong), *arguments[1:]).stderr
    Path(f"{plant.store}-wal").unlink()
    plant.store.write_bytes(plant.store.read_bytes()[:5000])

    assert "3 readings of 1 meters, every chain complete" in printed("restore", "--check", *arguments)
    assert "restored, as of" in printed("restore", *arguments)

    gateway = plant.start()
    resent = [
        stored[0][1],
        stored[3][1],
        stored[5][1],
    ]  # what a meter still has: 5 was receipted, so it is lost for good
    line.send(pen.topic, *resent, pen.sign())
    wait_for(lambda: plant.stored() == 6, "the readings to be stored")
    reasons = str(health(plant)["reasons"])
    assert "this database was restored from a backup" in reasons
    assert "2 of 2 meters have sent no complete chain beyond that" in reasons
    assert gateway.stop() == 0
    assert receipts(line) == []
    assert min(number for (number,) in plant.rows("SELECT id FROM readings WHERE sequence > 3")) > stored[-1][0]

    audit = printed("audit", "--config", str(plant.config))
    assert "restore backup" in audit
    assert "1 adopted. Start the gateway again." in printed("adopt", "--all", "--yes", "--config", str(plant.config))

    plant.start()
    line.send(pen.topic, pen.sign())
    assert line.newest_receipt(8, plant.receipt_key.public_key)[1] == 8
    assert plant.rows("SELECT epoch FROM outbox ORDER BY epoch") == [(first,), (first + 1,)]
    assert "1 of 2 meters" in str(health(plant)["reasons"])


async def test_a_meter_whose_chain_goes_on_is_receipted_again_without_a_hand(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    await archive.store(archive.sign(50))
    restored(archive, backed_up(archive))
    first, second = (pen.meter_id for pen in archive.pens)
    await archive.store(archive.sign(1))  # taken before the restore: it may have been receipted in between
    async with opened(archive) as store:
        assert await store.release([first, second]) == set()
    archive.pens[1].time = int(time.time())
    await archive.store(archive.sign(1))
    async with opened(archive) as store:
        assert await store.release([first, second]) == {second}


@asynccontextmanager
async def opened_checks(archive: Archive) -> AsyncIterator[CheckStore]:
    database = await Database.open(archive.source.store)
    try:
        yield CheckStore(database)
    finally:
        await database.close()


@asynccontextmanager
async def opened_access(archive: Archive) -> AsyncIterator[Doorkeeper]:
    database = await Database.open(archive.source.store)
    try:
        yield await Doorkeeper.over(database)
    finally:
        await database.close()


@asynccontextmanager
async def opened(archive: Archive) -> AsyncIterator[RestoreStore]:
    database = await Database.open(archive.source.store)
    try:
        store = RestoreStore(database)
        await store.load()
        yield store
    finally:
        await database.close()


def backed_up(archive: Archive) -> Path:
    return archive.settings.folder / make_backup(archive.source, archive.settings, time.time() - 1000).file


def restored(
    archive: Archive, file: Path, *, may_be_older: bool = False, keeps_access: bool = False
) -> restore.Restored:
    return restore.restore(
        file, bytes(archive.opening), archive.source, may_be_older=may_be_older, now=time.time(),
        keeps_access=keeps_access,
    )  # fmt: skip


def refused(archive: Archive, file: Path, said: str) -> None:
    """Try to restore *file*, which must be refused with *said* and change nothing."""
    before = rows(archive.source.store, "SELECT * FROM chains"), names(archive)
    with pytest.raises(BackupError, match=said):
        restored(archive, file)
    assert (rows(archive.source.store, "SELECT * FROM chains"), names(archive)) == before


def names(archive: Archive) -> set[str]:
    kept = {path.name for path in archive.source.store.parent.iterdir()}
    return {name for name in kept if not name.endswith(("-wal", "-shm"))}


def rows(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def printed(*arguments: str) -> str:
    """Return what `campusgrid gateway` prints, which must succeed."""
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def health(plant: Plant) -> dict:
    return dict(httpx.get(f"http://127.0.0.1:{plant.api_port}/health").json())


def receipts(line: Line) -> list[bytes]:
    found = []
    while not line.receipts.empty():
        found.append(line.receipts.get())
    return found
