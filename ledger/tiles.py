"""The log in tiles (c2sp.org/tlog-tiles): 256 hashes each, of leaves at level 0, of whole tiles below at every other.

A writer keeps one hash for every 256 below it; a reader makes each node in between from the hashes of one tile. So a
proof needs a few hundred hashes of a log of any size, from a node's own tables, a mirror's files or over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import merkle
from ledger.errors import MalformedError
from ledger.merkle import HASH_BYTES, RangeHash

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_LEVEL: Final = 7
"""The highest level that a log of less than 2^63 leaves has."""
_INDEX: Final = r"(?:x[0-9]{3}/)*[0-9]{3}"
_PATH: Final = re.compile(rf"({_INDEX})(?:\.p/([1-9][0-9]{{0,2}}))?")

HashReader = Callable[[int, int, int], Sequence[bytes]]
"""(level, first, count) -> so many hashes of a level, which lie in one tile; raises where one of them is not there."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The place of a tile: its level, its index there, how many of its 256 hashes it has."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The tile's address below `/tile/`."""
        return f"{self.level}/{write_place(self.index, self.width)}"

    @property
    def first(self) -> int:
        """The place, at its level, of the tile's first hash."""
        return self.index * WIDTH


def write_place(index: int, width: int) -> str:
    """Return an index and width as addresses have them: 1234067 reads x001/x234/067, a width of 5 ends in .p/5."""
    digits = f"{index:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]]) + ("" if width == WIDTH else f".p/{width}")


def read_place(text: str) -> tuple[int, int]:
    """Return the index and width that *text* writes; raises MalformedError for all but its one form."""
    match = _PATH.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise MalformedError(f"{text[:40]!r} is no place of a tile")
    index, width = int(re.sub("[x/]", "", match[1])), int(match[2] or WIDTH)
    if width > WIDTH or write_place(index, width) != text:
        raise MalformedError(f"{text[:40]!r} is no place of a tile in its one form")
    return index, width


def tiles_of(size: int, level: int, start: int = 0) -> Iterator[Tile]:
    """Yield the tiles that a log of *size* leaves has at *level*, the partial one last, from index *start* on."""
    count = size >> (HEIGHT * level)
    for index in range(start, -(-count // WIDTH)):
        yield Tile(level, index, min(WIDTH, count - index * WIDTH))


def hashes_in(read: HashReader) -> RangeHash:
    """Return the range hashes of the tree whose tiles *read* gives."""

    def hash_of(start: int, end: int) -> bytes:
        count = end - start
        if count & (count - 1):
            middle = start + merkle.split(count)
            return merkle.node_hash(hash_of(start, middle), hash_of(middle, end))
        level = (count.bit_length() - 1) // HEIGHT
        shift = HEIGHT * level
        return fold(read(level, start >> shift, count >> shift))

    return hash_of


def root(size: int, read: HashReader) -> bytes:
    """Return the root of the first *size* leaves."""
    return hashes_in(read)(0, size) if size else merkle.EMPTY_ROOT


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the node over *hashes*, whose number is a power of two."""
    while len(hashes) > 1:
        hashes = [merkle.node_hash(hashes[place], hashes[place + 1]) for place in range(0, len(hashes), 2)]
    return hashes[0]


def split_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the *width* hashes of a tile's bytes; raises MalformedError where it has another length."""
    if len(data) != width * HASH_BYTES:
        raise MalformedError(f"a tile of {width} hashes has {width * HASH_BYTES} bytes, not {len(data)}")
    return tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES))


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its length in two bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def split_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Return the *width* entries of a bundle; raises MalformedError where there are others, or more."""
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) < width:
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        entries.append(data[place + 2 : end])
        place = end
    if place != len(data) or len(entries) != width:
        raise MalformedError(f"this is no bundle of {width} entries")
    return tuple(entries)
