"""Tells damage in SQLite's write-ahead log from a torn tail.

SQLite takes the first frame whose checksum is wrong for the end of the log and drops all behind it, without a word.
That is right for a transaction that was being written when power failed. A flipped bit before it would make this node
forget what it promised. With synchronous = FULL every commit is on the disk before the next begins: so where more than
one commit lies behind the first bad frame, it was no power cut. (The format: sqlite.org/fileformat.html, section 4.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = 0x377F0682
"""Its last bit tells the byte order of the checksums' words."""
_MOST_TORN_COMMITS: Final = 1
_MASK: Final = 0xFFFFFFFF
_PAGE_BYTES: Final = range(512, 65_537)

Checksum = tuple[int, int]


def find_damage(database: Path) -> int | None:
    """Return the number of the first damaged frame of the log beside *database*, from 1; 0 stands for its header.

    None where the log is sound, has a torn tail, or is not there. To be asked before SQLite opens the database, since
    that would drop the rest of the log. Raises OSError.
    """
    path = database.with_name(f"{database.name}-wal")
    raw = path.read_bytes() if path.exists() else b""
    if len(raw) < _HEADER.size:
        return None
    magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack_from(raw)
    order = ">" if magic & 1 else "<"
    checksum = _add((0, 0), raw[: _HEADER.size - 8], order)
    if page_bytes not in _PAGE_BYTES:
        return None
    frames = list(_frames(raw, page_bytes))
    if magic & ~1 != _MAGIC or checksum != (first, second):
        own = [_FRAME.unpack_from(raw, at)[2:4] for at in frames[:1]]
        return 0 if own and _count_commits(raw, frames, own[0]) > _MOST_TORN_COMMITS else None
    for number, at in enumerate(frames):
        *_, salt_1, salt_2, first, second = _FRAME.unpack_from(raw, at)
        body = at + _FRAME.size
        checksum = _add(_add(checksum, raw[at : at + 8], order), raw[body : body + page_bytes], order)
        if [salt_1, salt_2] != salts or checksum != (first, second):
            commits = _count_commits(raw, frames[number:], (salts[0], salts[1]))
            return number + 1 if commits > _MOST_TORN_COMMITS else None
    return None


def _frames(raw: bytes, page_bytes: int) -> Iterator[int]:
    """Yield where each whole frame begins."""
    size = _FRAME.size + page_bytes
    yield from range(_HEADER.size, len(raw) - size + 1, size)


def _count_commits(raw: bytes, frames: list[int], salts: tuple[int, ...]) -> int:
    """Count the frames that end a transaction of the log with these salts; those of an earlier log have others."""
    found = (_FRAME.unpack_from(raw, at) for at in frames)
    return sum(frame[1] != 0 and frame[2:4] == salts for frame in found)


def _add(checksum: Checksum, data: bytes, order: str) -> Checksum:
    """Return the checksum of what came before and *data*."""
    first, second = checksum
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
