"""A ledger's log as files that any web server can serve: what outsiders ask of a node, under the same addresses.

    v1/checkpoint            the newest that a quorum has cosigned, signed by the node's log key; written last
    v1/tile/…                hashes, and under entries/ the leaves that are still here (c2sp.org/tlog-tiles)
    v1/handovers             the certificates of every change of the authorities
    v1/trust.json            the chain's id and first authorities; not its genesis, whose secret opens the log
    v1/headers/…             256 headers of blocks each, with their precommits, in bundles addressed as entries are

Every file appears whole. What is there stays, so a second run writes what is new, and one cut short is gone on with.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import cbor, files, genesis, handover, tiles, trust
from ledger.errors import LedgerError
from ledger.monitor import fork
from ledger.node.recovery.memory import DATABASE
from ledger.node.settings import NodeSettings, read_key
from ledger.node.signers import witnessing
from ledger.node.signers.cosigning import Provable, decode_provable
from ledger.node.storage.database import StoreError
from ledger.node.storage.store import Store
from ledger.tiles import Tile
from ledger.trust import TrustRoot

PREFIX: Final = "v1"
CHECKPOINT: Final = "checkpoint"
TRUST: Final = "trust.json"

Progress = Callable[[str, int, int], None]
"""Told now and then what is written, how many of its files are there, of how many."""


class ArchiveError(LedgerError):
    """The archive was not brought up to date; what is in the folder stays good, and the text says what to do."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Leaves and blocks that the archive has, files that were written, bundles that this node has no longer."""

    size: int
    height: int
    written: int
    missing: int


def export(settings: NodeSettings, folder: Path, progress: Progress) -> Archived:
    """Bring the archive *folder* up to date with the node of *settings*, which may run; raises ArchiveError."""
    rules, log_key = genesis.load(settings.genesis), read_key(settings.keys.log)
    path = settings.data_dir / DATABASE
    if not path.exists():
        raise StoreError(f"there is no database {path}: this node never ran")
    with _faults_told(folder, path), closing(Store.open_reader(path)) as store, _claimed(folder):
        root = TrustRoot(rules.chain_id, rules.authorities)
        _require_same_ledger(folder / PREFIX, trust.dumps(root).encode())
        provable = _choose(folder / PREFIX / CHECKPOINT, store)
        return _Archive(folder / PREFIX, store, progress).write(root, provable, provable.note(log_key))


class _Archive:
    """Writes what is new in *store* to the files below *root*."""

    def __init__(self, root: Path, store: Store, progress: Progress) -> None:
        self._root, self._store, self._progress = root, store, progress
        self._written = self._missing = 0

    def write(self, trusted: TrustRoot, provable: Provable, note: str) -> Archived:
        """Write everything that the checkpoint needs, then the checkpoint."""
        size, height = provable.checkpoint.size, self._store.height()
        self._replace(self._root / TRUST, trust.dumps(trusted).encode())
        for level in range(tiles.MAX_LEVEL + 1):
            self._write_all(f"tiles of level {level}", self._root / "tile" / str(level), size, level, self._hashes)
        self._write_all("entries", self._root / "tile" / "entries", size, 0, self._entries)
        self._write_all("headers", self._root / "headers", height, 0, self._headers)
        handovers = handover.encode_all(trusted.chain_id, list(self._store.handovers().values()))
        self._replace(self._root / "handovers", handovers)
        self._replace(self._root / CHECKPOINT, note.encode())
        return Archived(size, height, self._written, self._missing)

    def _write_all(self, what: str, folder: Path, size: int, level: int, read: Callable[[Tile], bytes | None]) -> None:
        count = -(-(size >> (tiles.HEIGHT * level)) // tiles.WIDTH)
        for tile in tiles.tiles_of(size, level):
            path = folder / tiles.write_place(tile.index, tile.width)
            if not path.exists():
                data = read(tile)
                if data is None:
                    self._missing += 1
                else:
                    self._replace(path, data)
            if tile.width == tiles.WIDTH and path.exists():
                shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)  # the whole one has all of it
            self._progress(what, tile.index + 1, count)

    def _hashes(self, tile: Tile) -> bytes:
        return b"".join(self._store.tree_hashes(tile.level, tile.first, tile.width))

    def _entries(self, tile: Tile) -> bytes | None:
        return _bundle(self._store.entries(tile.first, tile.width), tile)

    def _headers(self, tile: Tile) -> bytes | None:
        return _bundle(list(self._certified(tile)), tile)

    def _certified(self, tile: Tile) -> Iterator[bytes]:
        """Yield the headers of a bundle with their precommits; the first bundle begins with block 1."""
        for height in range(tile.first + 1, tile.first + tile.width + 1):
            header, commit = self._store.header(height), self._store.commit(height)
            if header is not None and commit is not None:
                yield cbor.encode([header.fields(), commit.fields()])

    def _replace(self, path: Path, data: bytes) -> None:
        if path.exists() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, data)
        self._written += 1


def _bundle(entries: Sequence[bytes], tile: Tile) -> bytes | None:
    """Return the bundle of a tile, None where this node does not have all of it."""
    return tiles.bundle(entries) if len(entries) == tile.width and all(entries) else None


def _require_same_ledger(root: Path, trusted: bytes) -> None:
    path = root / TRUST
    if path.exists() and path.read_bytes() != trusted:
        raise ArchiveError(f"{root.parent} is the archive of another ledger: name another folder")
    if not path.exists() and root.exists() and any(root.iterdir()):
        raise ArchiveError(f"{root} has files in it and is no archive: name another folder")


def _choose(path: Path, store: Store) -> Provable:
    """Return the checkpoint to write, with witnesses if possible; refuse an archive that the log does not continue."""
    stored = store.meta("provable")
    if stored is None:
        raise ArchiveError("no checkpoint has a quorum of cosignatures yet: run this again in a few seconds")
    newest = decode_provable(stored)
    shown = witnessing.served(newest, witnessing.stored(store), time.time()) or newest
    if not path.exists():
        return shown
    known = fork.parse_note(path.read_text(encoding="utf-8")).checkpoint
    if known.size > newest.checkpoint.size:
        text = f"{path} is of {known.size} leaves, this node's log has {newest.checkpoint.size}"
        raise ArchiveError(f"{text}: let the node catch up, or take the one that the archive was made from")
    if tiles.root(known.size, store.tree_hashes) != known.root:
        text = f"{path} is of another history than this node's log"
        raise ArchiveError(f"{text}: keep both, verify the node (`campusgrid ledger verify-db`), tell the others")
    return shown if known.size <= shown.checkpoint.size else newest


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Make *folder* where it is not there yet, and keep every other run out of it meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ArchiveError(f"another process writes to {folder}: wait until it is done") from error
    finally:
        os.close(descriptor)


@contextmanager
def _faults_told(folder: Path, database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ArchiveError(
            f"cannot read the database {database}: {error}; see what `campusgrid ledger verify-db` says of it, then run"
            " this again: it goes on"
        ) from error
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise ArchiveError(
            f"cannot bring {folder} up to date: {error}; {remedy}, then run this again: it goes on"
        ) from error
