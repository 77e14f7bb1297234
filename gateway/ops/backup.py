"""`campusgrid gateway backup`: a consistent copy of the running gateway's database, encrypted, and restored on trial.

A backup counts only once the trial has read it back from the disk, decrypted it and found every meter's chain in it.
What did not count leaves nothing behind, and the older backups are as they were.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from nacl.public import PrivateKey as OpeningKey

from gateway.errors import BackupError
from gateway.genesis import read_genesis
from gateway.ops import inspection, sealing
from gateway.ops.inspection import Inspection
from gateway.ops.sealing import Manifest
from gateway.roster import Roster, read_roster
from gateway.settings import BackupSettings, GatewaySettings, read_key
from ledger.keys import PrivateKey

SUFFIX: Final = ".backup"
RECORD: Final = "last-restored.json"
RESERVE_BYTES: Final = 64 * 2**20
"""What a backup leaves free on the disk of the running database."""
_NEW_BYTES: Final = 4096
"""A database file of no more than one page holds nothing."""
_PARTIAL: Final = ".partial"
_WORK: Final = "backup.work"


@dataclass(frozen=True, slots=True)
class Record:
    """The last backup that a trial restored: which file, when it was made, and what came out of it."""

    file: str
    made_at: int
    size_bytes: int
    readings: int
    meters: int


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: the database of one gateway on one ledger, with the meters that vouch for it."""

    store: Path
    chain: bytes
    roster: Roster
    key: PrivateKey


def make_backup(source: Source, settings: BackupSettings, now: float) -> Record:
    """Make a backup, restore it on trial, drop the oldest beyond the limit, and return its record.

    Safe while the gateway runs. Raises BackupError, and leaves then what was there before.
    """
    if not source.store.exists():
        raise BackupError(f"{source.store}: there is no database yet; start the gateway first")
    try:
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _claimed(settings.folder), _work_folder(source.store) as work:
            _require_room(source.store, settings.folder)
            made = _make(source, settings, work, int(now))
            _drop_oldest(settings)
            return made
    except (OSError, sqlite3.Error) as error:
        raise BackupError(
            f"no backup was made: {error}; the ones before are as they were. Is the disk of {settings.folder} or of"
            f" {source.store.parent} full or read-only? Then `campusgrid gateway backup` again"
        ) from error


def make_key(file: Path) -> str:
    """Write a new private key to *file*, which must not exist, and return the public key as hex; raises BackupError."""
    private = OpeningKey.generate()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"{file}: cannot be made for the private key: {error.strerror}; choose another") from error
    with os.fdopen(descriptor, "w") as target:
        target.write(bytes(private).hex() + "\n")
        target.flush()
        os.fsync(target.fileno())
    return bytes(private.public_key).hex()


def read_source(settings: GatewaySettings) -> Source:
    """Return what *settings* name to be backed up; raises SettingsError."""
    chain = read_genesis(settings).chain_id
    return Source(settings.store, chain, read_roster(settings.roster), read_key(settings.receipt_key))


def require_memory(settings: GatewaySettings) -> None:
    """Raise BackupError if the database is gone of which there is a backup: an empty one would not know that."""
    store = settings.store
    if settings.backup is None or _holds_something(store):
        return
    record = read_record(settings.backup.folder)
    if record is not None:
        file = settings.backup.folder / record.file
        raise BackupError(
            f"{store}: the database is gone, but it was backed up: `campusgrid gateway restore {file} --key PRIVATE-KEY"
            f" --config GATEWAY.TOML`; or, to begin without a memory, move {settings.backup.folder / RECORD} away"
        )


def _holds_something(store: Path) -> bool:
    """Tell whether the database has more than a new one: in its file, or still in its log."""
    log = Path(f"{store}-wal")
    return store.exists() and (store.stat().st_size > _NEW_BYTES or (log.exists() and log.stat().st_size > 0))


def read_record(folder: Path) -> Record | None:
    """Return the record of the last backup in *folder* that was restored on trial, or None; raises BackupError."""
    path = folder / RECORD
    try:
        return Record(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{path}: cannot be read: {error}; make a new backup") from error


def create_private(path: Path) -> IO[bytes]:
    """Return a new, empty file that only its owner can open, to be written and read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")


def sync_folder(folder: Path) -> None:
    """Put the names in *folder* on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(source: Source, settings: BackupSettings, work: Path, now: int) -> Record:
    copy, trial = work / "copy.sqlite", work / "trial.sqlite"
    manifest = _copy(source, copy, now)
    name = f"gateway-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"
    partial = settings.folder / (name + _PARTIAL)
    try:
        with create_private(partial) as sealed:
            with copy.open("rb") as plain:
                session = sealing.seal(plain, sealed, bytes.fromhex(settings.public_key), manifest, source.key)
            sealed.flush()
            os.fsync(sealed.fileno())
            os.posix_fadvise(sealed.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that the trial reads the disk
            copy.unlink()  # makes room for the trial
            with create_private(trial) as target:
                sealing.unseal(sealed, name, session, target, source.key.public_key)
        found = _inspect(source, trial, name)
        if found.counts != manifest.counts:
            raise BackupError(f"{name}: its trial restore gave {found.counts}, not {manifest.counts}; make a new one")
        partial.replace(settings.folder / name)
    finally:
        partial.unlink(missing_ok=True)
    return _write_record(settings.folder, name, now, found)


def _inspect(source: Source, trial: Path, name: str) -> Inspection:
    try:
        return inspection.inspect(trial, name, source.roster)
    except BackupError as error:
        raise BackupError(
            f"no backup was made, for {source.store} is not whole: {error}, as `campusgrid doctor --config FILE` prints"
        ) from error


def _copy(source: Source, target: Path, now: int) -> Manifest:
    """Copy the database as of one moment, whoever writes it meanwhile, and return what it was.

    All pages go in one step: one read transaction, which no writer waits for; in several steps every commit of the
    gateway would start the copy anew.
    """
    create_private(target).close()
    with (
        closing(sqlite3.connect(f"file:{source.store}?mode=ro", uri=True, timeout=30)) as running,
        closing(sqlite3.connect(target)) as copy,
    ):
        running.backup(copy, pages=-1)
        counts, generation = inspection.count_rows(copy), inspection.generation_of(copy)
        schema = inspection.schema_of(copy)
    return Manifest(now, source.chain.hex(), source.key.public_key.hex(), schema, generation, counts)


def _require_room(store: Path, folder: Path) -> None:
    """Raise BackupError unless both disks have room for what a backup needs of them at one time."""
    size = sum(part.stat().st_size for part in (store, Path(f"{store}-wal")) if part.exists())
    on_one_disk = store.parent.stat().st_dev == folder.stat().st_dev
    needed = {store.parent: size * (2 if on_one_disk else 1) + RESERVE_BYTES, folder: size}
    for place, amount in needed.items():
        free = shutil.disk_usage(place).free
        if free < amount:
            raise BackupError(
                f"{place}: a backup needs {-(-amount // 2**20)} MiB free, there are {free // 2**20}; free some space,"
                " or lower backup.keep. No backup was made"
            )


def _drop_oldest(settings: BackupSettings) -> None:
    for old in sorted(settings.folder.glob(f"*{SUFFIX}"))[: -settings.keep]:
        old.unlink()


def _write_record(folder: Path, name: str, now: int, found: Inspection) -> Record:
    size = (folder / name).stat().st_size
    record = Record(name, now, size, found.counts["readings"], found.counts["chains"])
    partial = folder / (RECORD + _PARTIAL)
    partial.write_text(json.dumps(asdict(record)) + "\n", "utf-8")
    partial.replace(folder / RECORD)
    sync_folder(folder)
    return record


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold *folder* for this backup alone, and remove what a killed one left."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in folder.glob(f"*{_PARTIAL}"):
            left.unlink()
        yield
    except BlockingIOError as error:
        raise BackupError(f"{folder}: another backup is being made; wait for it") from error
    finally:
        os.close(descriptor)


@contextmanager
def _work_folder(store: Path) -> Iterator[Path]:
    """Give an empty folder beside the database, for the user's eyes only, and remove it in the end."""
    work = store.parent / _WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
