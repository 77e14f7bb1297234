"""What `campusgrid ledger snapshot` and `prune` do with a node's data directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import genesis, snapshot
from ledger.errors import LedgerError
from ledger.genesis import Genesis
from ledger.node import settings as node_settings
from ledger.node.chain import read_state
from ledger.node.recovery.memory import DATABASE
from ledger.node.snapshots import making as snapshot_making
from ledger.node.snapshots import pruning
from ledger.node.snapshots import storing as snapshot_storing
from ledger.node.snapshots.file import SnapshotFile
from ledger.node.snapshots.making import NoSnapshotError
from ledger.node.snapshots.offer import heights, snapshot_path
from ledger.node.storage.database import StoreError, claim
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store
from ledger.snapshot import Manifest

POLL_S: Final = 0.02
"""A block with a transaction is the newest one for a moment only, where others follow it."""


class SnapshotFileError(LedgerError):
    """A file that no snapshot can be read from or written to; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Up to which block each kind is gone, why no more, and how long the database was before and after."""

    up_to: Mapping[Kept, int]
    why_no_more: Mapping[Kept, str]
    bytes_before: int
    bytes_after: int


def export(config: Path, file: Path, wait_s: float = 0.0, tell: Callable[[str], None] = lambda _: None) -> Manifest:
    """Write a snapshot of the newest block of the node that *config* describes; it may run meanwhile.

    Where that block holds no transaction, the newest snapshot that the node made is written instead. Where it made
    none, a running node has *wait_s* to decide a block with one; *tell* is told so.
    """
    settings = node_settings.load(config)
    database = settings.data_dir / DATABASE
    if file.exists():
        raise SnapshotFileError(f"{file} exists already: give another name")
    if not database.exists():
        raise StoreError(f"there is no database {database}: this node never ran")
    reader = Store.open_reader(database)
    try:
        return _make_in_time(reader, settings.data_dir, file, wait_s, tell)
    except OSError as error:
        raise SnapshotFileError(f"cannot write {file}: {error.strerror}") from error
    finally:
        reader.close()


def put_into(config: Path, file: Path) -> Manifest:
    """Put the snapshot *file* into the node that *config* describes, which has no data yet."""
    settings = node_settings.load(config)
    rules = genesis.load(settings.genesis)
    try:
        found = SnapshotFile(file)
    except OSError as error:
        raise SnapshotFileError(f"cannot read {file}: {error.strerror}") from error
    try:
        snapshot.check(found.manifest, rules.chain_id, rules.authorities)
        _store(settings.data_dir / DATABASE, rules, found)
    finally:
        found.close()
    return found.manifest


def prune(config: Path, days: Mapping[str, int]) -> Pruned:
    """Prune the node that *config* describes, which does not run, by its settings with *days* in their place."""
    settings = node_settings.load(config)
    keep = settings.keep.model_copy(update=dict(days))
    path = settings.data_dir / DATABASE
    if not path.exists():
        raise StoreError(f"there is no database {path}: this node never ran")
    before = path.stat().st_size
    store = Store.open(path, genesis.load(settings.genesis).chain_id)
    try:
        oldest, now_ms = min(heights(settings.data_dir), default=0), time.time_ns() // 10**6
        for kept in Kept:
            last = pruning.last_height(store, keep, kept, oldest, now_ms)
            _prune_all(store, kept, last)
        store.compact()
        up_to = {kept: store.pruned(kept) for kept in Kept}
        reasons = {kept: pruning.why_no_more(store, keep, kept, oldest, now_ms) for kept in Kept}
    finally:
        store.close()
    return Pruned(up_to, reasons, before, path.stat().st_size)


def _make_in_time(reader: Store, data_dir: Path, file: Path, wait_s: float, tell: Callable[[str], None]) -> Manifest:
    deadline_s, is_told = time.monotonic() + wait_s, False
    while True:
        version = reader.data_version()
        try:
            return _make_or_copy(reader, data_dir, file)
        except NoSnapshotError as error:
            if not is_told and not _is_running(data_dir):
                raise NoSnapshotError(f"{error}. The node does not run: start it first") from error
            if not is_told and wait_s:
                tell(f"{error}. Waiting {wait_s:g} s for a block with one")
            is_told = True
            while time.monotonic() < deadline_s and reader.data_version() == version:
                time.sleep(POLL_S)
            if time.monotonic() >= deadline_s:
                raise


def _is_running(data_dir: Path) -> bool:
    try:
        claim(data_dir / DATABASE).close()
    except StoreError:
        return True
    return False


def _make_or_copy(reader: Store, data_dir: Path, file: Path) -> Manifest:
    try:
        with reader.at_one_moment():
            return snapshot_making.make(reader, file)
    except NoSnapshotError:
        made = heights(data_dir)
        if not made:
            raise
    shutil.copy(snapshot_path(data_dir, made[-1]), file)
    copied = SnapshotFile(file)
    copied.close()
    return copied.manifest


def _store(path: Path, rules: Genesis, found: SnapshotFile) -> None:
    store = Store.open(path, rules.chain_id)
    try:
        if store.height() or store.has_signed():
            raise StoreError(f"{path} holds a chain already: import into a node without data")
        with store.transaction():
            snapshot_storing.put(store, found.manifest, found.part)
        read_state(store)
    finally:
        store.close()


def _prune_all(store: Store, kept: Kept, last: int) -> None:
    is_more = True
    while is_more:
        with store.transaction():
            is_more = pruning.step(store, kept, last)
