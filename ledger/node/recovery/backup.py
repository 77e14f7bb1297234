"""A running node's data as a folder that vouches for itself, and the way back from it.

    manifest.json    what the backup is of, and size and SHA-256 of every other file
    ledger.sqlite    the database as of one moment
    genesis.json     what the chain starts from
    keys/            the node's key files, where they were asked for

A backup is older than what the node has signed since. So a restored database is marked before anything can open it,
and a node that finds the mark observes until it cannot contradict itself (`node.memory`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ledger import files, genesis
from ledger.errors import LedgerError
from ledger.node.recovery import memory
from ledger.node.recovery.memory import DATABASE
from ledger.node.settings import NodeSettings
from ledger.node.storage import database
from ledger.node.storage.store import Store
from ledger.state import decode_head

FORMAT: Final = "campusgrid ledger backup 1"
MANIFEST: Final = "manifest.json"
GENESIS: Final = "genesis.json"
KEYS: Final = "keys"
MAX_MANIFEST_BYTES: Final = 64 * 1024
_PARTIAL: Final = ".partial"
_CHUNK_BYTES: Final = 2**20
_STEPS: Final = 20_000
"""SQLite's virtual machine steps between two looks at how far a copy is."""

Progress = Callable[[int, int], None]
"""Told now and then how many bytes are done, of how many."""


class BackupError(LedgerError):
    """No backup was made, or none restored; what was there before is as it was."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of: chain, node, newest block, when it was made (Unix ms), and [bytes, hash] of each file."""

    format: str
    chain_id: str
    name: str
    height: int
    block_id: str
    made_at_ms: int
    files: dict[str, list[int | str]]


def make(settings: NodeSettings, target: Path, *, with_keys: bool, progress: Progress) -> Manifest:
    """Back the node of *settings* up into the new folder *target*, while it runs or not; raises BackupError."""
    live = settings.data_dir / DATABASE
    if not live.exists():
        raise BackupError(f"{live}: there is no database yet; start the node first")
    if target.exists():
        raise BackupError(f"{target} exists: a backup is never overwritten; name a new folder")
    draft = target.with_name(f".{target.name}{_PARTIAL}")
    with _faults_told(f"no backup was made in {target}"):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        try:
            _require_room(live.stat().st_size, draft)
            _copy_database(live, draft / DATABASE, progress)
            _copy_files(settings, draft, with_keys=with_keys)
            manifest = _describe(settings, draft)
            _write(draft / MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())
            files.sync_folder(draft)
            draft.rename(target)
            files.sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return manifest


def check(source: Path, progress: Progress) -> Manifest:
    """Return the manifest of the backup *source* if every file is what it says; raises BackupError."""
    with _faults_told(f"{source} is no backup"):
        text = (source / MANIFEST).read_bytes()[:MAX_MANIFEST_BYTES]
        try:
            manifest = Manifest(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise BackupError(f"{source / MANIFEST} is damaged ({error}); take another backup") from error
        if manifest.format != FORMAT or DATABASE not in manifest.files:
            raise BackupError(f"{source} is {manifest.format!r}, not {FORMAT!r}: take the program that made it")
        for name, stated in manifest.files.items():
            if Path(name).is_absolute() or ".." in Path(name).parts or not (source / name).is_file():
                raise BackupError(f"{source} lacks {name}; take another backup")
            found = [(source / name).stat().st_size, _hash(source / name, progress)]
            if found != stated:
                raise BackupError(f"{source / name} is not what {MANIFEST} says: it is damaged; take another backup")
    return manifest


def restore(settings: NodeSettings, source: Path, progress: Progress) -> Manifest:
    """Put the backup *source* where the node of *settings* keeps its data, marked; raises BackupError, StoreError.

    Keys are not touched: whoever wants those of the backup copies them.
    """
    rules = genesis.load(settings.genesis)
    _require_empty(settings.data_dir)
    manifest = check(source, progress)
    if manifest.chain_id != rules.chain_id.hex() or manifest.name != settings.name:
        raise BackupError(
            f"{source} is of {manifest.name} on chain {manifest.chain_id}, node.toml of {settings.name} on chain"
            f" {rules.chain_id.hex()}: take the right one of the two"
        )
    with _faults_told(f"nothing was restored to {settings.data_dir}"):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(database.claim(settings.data_dir / DATABASE)):
            _put_back(source / DATABASE, settings.data_dir, rules.chain_id)
    return manifest


def _put_back(copy: Path, data_dir: Path, chain_id: bytes) -> None:
    """Let the database appear in *data_dir* only when it is whole, checked and marked."""
    draft = data_dir / f"restored{_PARTIAL}"
    for leftover in data_dir.glob(f"{draft.stem}.*"):
        leftover.unlink()
    _require_room(copy.stat().st_size, data_dir)
    shutil.copyfile(copy, draft)
    draft.chmod(0o600)
    store = Store.open(draft, chain_id)
    try:
        with store.transaction():
            memory.mark_restored(store)
    finally:
        store.close()
    _sync_file(draft)
    draft.rename(data_dir / DATABASE)
    for leftover in data_dir.glob(f"{draft.stem}.*"):
        leftover.unlink()
    files.sync_folder(data_dir)


def _copy_database(live: Path, target: Path, progress: Progress) -> None:
    """Copy the database as of now, compacted; its node goes on writing."""
    with closing(sqlite3.connect(f"{live.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
        total = live.stat().st_size

        def look() -> None:
            progress(target.stat().st_size if target.exists() else 0, total)

        source.set_progress_handler(look, _STEPS)
        source.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)
    _sync_file(target)
    progress(total, total)


def _copy_files(settings: NodeSettings, draft: Path, *, with_keys: bool) -> None:
    _write(draft / GENESIS, settings.genesis.read_bytes())
    if with_keys:
        (draft / KEYS).mkdir(mode=0o700)
        for file in settings.keys.files:
            _write(draft / KEYS / file.name, file.read_bytes())
        files.sync_folder(draft / KEYS)


def _describe(settings: NodeSettings, draft: Path) -> Manifest:
    with closing(Store.open_reader(draft / DATABASE)) as store:
        stored, chain_id = store.meta("head"), store.meta("chain_id")
    if stored is None or chain_id is None:
        raise BackupError(f"{settings.data_dir / DATABASE} has no chain in it yet; start the node first")
    header = decode_head(stored).header
    found = sorted(path for path in draft.rglob("*") if path.is_file())
    return Manifest(
        FORMAT, chain_id.hex(), settings.name, header.height, header.id.hex(), time.time_ns() // 1_000_000,
        {str(path.relative_to(draft)): [path.stat().st_size, _hash(path, _tell_nobody)] for path in found},
    )  # fmt: skip


def _require_empty(data_dir: Path) -> None:
    found = sorted(data_dir.glob(f"{DATABASE}*"))
    if found:
        raise BackupError(
            f"{found[0]} exists: what a node signed must not be overwritten; stop the node, and move {data_dir} away"
            " to keep it"
        )


def _require_room(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(f"{folder} has {free} bytes left, {needed} are needed: make room, or take another disk")


@contextmanager
def _faults_told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{what}: {error}; mend that, then run this again") from error


def _hash(path: Path, progress: Progress) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _tell_nobody(_done: int, _total: int) -> None:
    """Somebody else tells how far it is."""
