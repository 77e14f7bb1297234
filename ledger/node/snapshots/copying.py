"""A snapshot in the taking: its manifest and the parts that came, each checked and in a file of its own.

A node that is killed goes on with what is there. A part that a power cut spoiled shows when the whole is stored.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import structlog

from ledger import snapshot
from ledger.errors import MalformedError
from ledger.genesis import Genesis
from ledger.snapshot import Manifest, SnapshotRefusedError

_MANIFEST: Final = "manifest"

log = structlog.get_logger("arrival")


class Copy:
    """What is here of one snapshot; `missing` are the numbers of the parts that nobody was asked for yet."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Go on with the files in *folder*, which belong to the checked *manifest*."""
        self._folder, self.manifest = folder, manifest
        self._kept = {number for number in manifest.parts if (folder / str(number)).exists()}
        self.missing = [number for number in reversed(manifest.parts) if number not in self._kept]

    @classmethod
    def begin(cls, folder: Path, manifest: Manifest) -> Copy:
        """Return the copy of the checked *manifest*, of which nothing is here yet."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        _write(folder / _MANIFEST, manifest.encode())
        return cls(folder, manifest)

    @classmethod
    def resume(cls, folder: Path, genesis: Genesis) -> Copy | None:
        """Return the copy in *folder* that a node which ended left behind, None where there is none of this chain."""
        try:
            manifest = snapshot.parse((folder / _MANIFEST).read_bytes())
            snapshot.check(manifest, genesis.chain_id, genesis.authorities)
        except (OSError, MalformedError, SnapshotRefusedError):
            return None
        found = cls(folder, manifest)
        log.info("going on with a snapshot", height=manifest.height, kept=len(found), parts=len(manifest.parts))
        return found

    def __len__(self) -> int:
        """Return how many parts are here."""
        return len(self._kept)

    @property
    def is_whole(self) -> bool:
        """Whether every part is here."""
        return len(self._kept) == len(self.manifest.parts)

    def keep(self, number: int, data: bytes) -> None:
        """Keep part *number*; raises SnapshotRefusedError where *data* is not that part."""
        snapshot.check_part(self.manifest, number, data)
        _write(self._folder / str(number), data)
        self._kept.add(number)

    def part(self, number: int) -> bytes | None:
        """Return part *number*; None where it is not here."""
        try:
            return (self._folder / str(number)).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Delete all that is here."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    """Let the file appear whole or not at all when this process is killed; it is for its owner's eyes alone."""
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    partial.replace(path)
