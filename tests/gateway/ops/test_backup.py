"""A backup counts when its trial restore found every meter's chain in it, and leaves nothing behind when it did not."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import BackupError
from gateway.ops import backup, restore
from gateway.ops.backup import make_backup, read_record
from tests.gateway.ops.conftest import Archive
from tests.gateway.plant import BOUND_S, ROOT, Pen, wait_for

NOW = 1_790_000_000.0


def test_a_backup_is_restored_on_trial_recorded_and_only_so_many_are_kept(archive: Archive) -> None:
    for number in range(4):
        made = make_backup(archive.source, archive.settings, NOW + number)
    kept = sorted(path.name for path in archive.settings.folder.glob("*.backup"))
    assert kept == ["gateway-20260921T141322Z.backup", "gateway-20260921T141323Z.backup"]
    assert read_record(archive.settings.folder) == made
    assert (made.readings, made.meters, made.made_at) == (100, 2, NOW + 3)
    assert not (archive.source.store.parent / "backup.work").exists()
    assert (archive.settings.folder / made.file).stat().st_mode & 0o077 == 0


def test_nothing_of_a_backup_can_be_read_without_the_key(archive: Archive) -> None:
    made = make_backup(archive.source, archive.settings, NOW)
    content = (archive.settings.folder / made.file).read_bytes()
    assert b"SQLite" not in content
    assert archive.pens[0].meter_id not in content
    assert archive.pens[0].previous not in content


def test_the_copy_is_of_one_moment_while_another_process_keeps_storing(archive: Archive) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, archive.source.store], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        for number in range(3):
            made = make_backup(archive.source, archive.settings, NOW + number)
            opened = restore.check_backup(archive.settings.folder / made.file, bytes(archive.opening), archive.source)
            with closing(sqlite3.connect(opened.path)) as connection:
                pairs = dict(connection.execute("SELECT name, value FROM counters WHERE name IN ('left', 'right')"))
            assert pairs["left"] == pairs["right"] > 0
    finally:
        writer.kill()
        writer.communicate(timeout=BOUND_S)


# two rows that every commit of this writer moves together
WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO counters VALUES ('left', 1), ('right', 1)")
print("writing", flush=True)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'left'")
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'right'")
    connection.execute("COMMIT")
"""


def _lose_a_reading(connection: sqlite3.Connection, _pen: Pen) -> None:
    connection.execute("DELETE FROM readings WHERE sequence = 20")


def _change_signed_bytes(connection: sqlite3.Connection, _pen: Pen) -> None:
    connection.execute("UPDATE readings SET raw = zeroblob(150) WHERE sequence = 20")


def _claim_more(connection: sqlite3.Connection, _pen: Pen) -> None:
    connection.execute("UPDATE chains SET head = head + 1")


def _forge_the_last(connection: sqlite3.Connection, pen: Pen) -> None:
    copy = pen.copy()
    raw = bytearray(copy.sign())
    raw[-1] ^= 1
    digest = hashlib.sha256(raw).digest()
    connection.execute(
        "INSERT INTO readings (meter_id, sequence, hash, previous, time, reason, status, received_at, raw)"
        " VALUES (?, ?, ?, ?, 1, 1, 0, 1, ?)",
        (pen.meter_id, copy.sequence, digest, pen.previous, bytes(raw)),
    )
    connection.execute(
        "UPDATE chains SET head = ?, highest = ?, head_hash = ? WHERE meter_id = ?",
        (copy.sequence, copy.sequence, digest, pen.meter_id),
    )


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_lose_a_reading, "complete up to number 50, but what is stored proves it only up to 19"),
        (_change_signed_bytes, "complete up to number 50, but what is stored proves it only up to 20"),
        (_claim_more, "complete up to number 51, but what is stored proves it only up to 50"),
        (_forge_the_last, "number 51 of meter [0-9a-f]{16} is not signed by it"),
    ],
)
def test_a_database_whose_chains_are_broken_makes_no_backup_that_counts(
    archive: Archive, harm: Callable[[sqlite3.Connection, Pen], None], said: str
) -> None:
    first = make_backup(archive.source, archive.settings, NOW)
    with closing(sqlite3.connect(archive.source.store)) as connection, connection:
        harm(connection, archive.pens[0])
    with pytest.raises(BackupError, match=said):
        make_backup(archive.source, archive.settings, NOW + 1)
    assert [path.name for path in archive.settings.folder.glob("*backup*")] == [first.file]
    assert read_record(archive.settings.folder) == first


def test_a_database_of_another_campus_makes_no_backup_that_counts(archive: Archive) -> None:
    archive.pens = [Pen(), Pen()]
    with pytest.raises(BackupError, match="the roster has no key of any meter in it; it is of another campus"):
        make_backup(archive.source, archive.settings, NOW)
    assert read_record(archive.settings.folder) is None


def test_a_backup_that_is_killed_leaves_nothing_that_counts_and_the_next_one_is_good(archive: Archive) -> None:
    archive.fill(1500)
    killed = 0
    for number in range(8):
        child = subprocess.Popen([sys.executable, "-c", HELD, *_arguments(archive)], cwd=ROOT)
        wait_for(partial(is_under_way, archive, child), "a backup under way")
        time.sleep(0.01 * number)
        killed += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait(BOUND_S)
    assert killed > 0
    made = make_backup(archive.source, archive.settings, time.time() + 10)
    assert made.readings == 3100
    assert not list(archive.folder.glob("*/*.partial"))
    for path in archive.settings.folder.glob("*.backup"):
        opened = restore.check_backup(path, bytes(archive.opening), archive.source)
        assert opened.found.counts["readings"] == 3100


def is_under_way(archive: Archive, child: subprocess.Popen[bytes]) -> bool:
    """Tell whether the backup has begun; on a busy machine it may be done before anybody looks."""
    return any(archive.folder.glob("*/*.partial")) or child.poll() is not None


HELD = """
import sys, time
from pathlib import Path
from gateway.ops.backup import Source, make_backup
from gateway.roster import Meter, make_roster
from gateway.settings import BackupSettings
from ledger.keys import PrivateKey
store, chain, key, folder, public, *meters = sys.argv[1:]
enrolled = [Meter(*map(bytes.fromhex, one.split(":")), "p", 1, True, bytes(8), "") for one in meters]
source = Source(Path(store), bytes.fromhex(chain), make_roster(iter(enrolled)), PrivateKey(bytes.fromhex(key)))
make_backup(source, BackupSettings(folder=folder, public_key=public), time.time())
"""


def _arguments(archive: Archive) -> list[str]:
    return [
        str(archive.source.store), archive.chain.hex(), archive.key.seed.hex(), str(archive.settings.folder),
        archive.settings.public_key, *(f"{pen.meter_id.hex()}:{pen.key.public_key.hex()}" for pen in archive.pens),
    ]  # fmt: skip


def test_a_full_disk_makes_no_backup_and_keeps_the_ones_before(archive: Archive) -> None:
    archive.fill(3000)
    made = make_backup(archive.source, archive.settings, NOW)
    script = f"""
    set -e
    mkdir {archive.folder}/small
    mount -t tmpfs -o size=1m tmpfs {archive.folder}/small
    set +e
    "$0" -c "$@"
    echo left: $(ls -A {archive.folder}/small)
    """
    arguments = _arguments(archive)
    arguments[3] = str(archive.folder / "small")
    unforeseen = HELD.replace("\nmake_backup", "\nimport gateway.ops.backup as b\nb._require_room = print\nmake_backup")
    for body, said in ((HELD, "MiB free, there are "), (unforeseen, "No space left on device; the ones before are")):
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script, sys.executable, body, *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
        assert said in done.stderr, done.stderr
        assert done.stdout.endswith("left:\n")
        (archive.folder / "small").rmdir()
    assert read_record(archive.settings.folder) == made


def test_two_backups_at_one_time_are_one(archive: Archive) -> None:
    archive.settings.folder.mkdir()
    descriptor = os.open(archive.settings.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup is being made; wait for it"):
            make_backup(archive.source, archive.settings, NOW)
    finally:
        os.close(descriptor)


def test_a_private_key_is_never_written_over(tmp_path: Path) -> None:
    public = backup.make_key(tmp_path / "backup.key")
    assert len(bytes.fromhex(public)) == 32
    assert (tmp_path / "backup.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="cannot be made for the private key: File exists"):
        backup.make_key(tmp_path / "backup.key")
