"""A snapshot as one file: its parts one after another, then the manifest, whose length is the last four bytes.

mark ‖ (length u32 ‖ part)… in the manifest's order ‖ manifest ‖ length u32
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ledger import snapshot
from ledger.errors import MalformedError
from ledger.snapshot import MAX_MANIFEST_BYTES, MAX_PART_BYTES

MAGIC: Final = b"campusgrid snapshot 1\n"
_LENGTH_BYTES: Final = 4


class SnapshotWriter:
    """Writes a file beside its name and gives it the name once it is whole; it is for its owner's eyes alone."""

    def __init__(self, path: Path) -> None:
        """Begin the file *path*, in a folder that exists."""
        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        self._partial.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(MAGIC)

    def add(self, part: bytes) -> None:
        """Append the next part."""
        self._file.write(_length(part) + part)

    def finish(self, manifest: bytes) -> None:
        """Append the *manifest* and let the file appear, durably."""
        with self._file as file:
            file.write(manifest + _length(manifest))
            file.flush()
            os.fsync(file.fileno())
        self._partial.replace(self._path)

    def abandon(self) -> None:
        """Leave nothing behind of a file that was not finished."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


class SnapshotFile:
    """An open snapshot file; its parts are read when they are asked for, by any thread. Nothing of it is believed."""

    def __init__(self, path: Path) -> None:
        """Open *path*; raises OSError, or MalformedError where it is no snapshot."""
        self._file = path.open("rb")
        try:
            self.manifest_bytes = self._read_manifest()
            self.manifest = snapshot.parse(self.manifest_bytes)
            self._places = dict(zip(self.manifest.parts, self._find_parts(), strict=False))
        except BaseException:
            self._file.close()
            raise

    def part(self, number: int) -> bytes | None:
        """Return part *number*; None where there is none."""
        place = self._places.get(number)
        if place is None:
            return None
        return self._read(place + _LENGTH_BYTES, self._read_length(place, MAX_PART_BYTES))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_manifest(self) -> bytes:
        if self._read(0, len(MAGIC)) != MAGIC:
            raise MalformedError("this is no snapshot of this program: it does not begin with its mark")
        end = os.fstat(self._file.fileno()).st_size - _LENGTH_BYTES
        size = self._read_length(end, MAX_MANIFEST_BYTES)
        if end - size < len(MAGIC):
            raise MalformedError("the snapshot is cut short; copy it anew")
        return self._read(end - size, size)

    def _find_parts(self) -> Iterator[int]:
        """Yield where the parts begin, each with its length."""
        place = len(MAGIC)
        while True:
            yield place
            place += _LENGTH_BYTES + self._read_length(place, MAX_PART_BYTES)

    def _read_length(self, place: int, limit: int) -> int:
        size = int.from_bytes(self._read(place, _LENGTH_BYTES), "big")
        if size > limit:
            raise MalformedError(f"the snapshot is damaged: a part of {size} bytes; copy it anew")
        return size

    def _read(self, place: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, max(place, 0))


def _length(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big")
