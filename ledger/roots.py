"""The state root: 2^16 hash buckets under a 16-ary SHA-256 tree, kept in memory and changed where rows change.

A row lies in the bucket that the first two bytes of its id SHA-256(table ‖ 00 ‖ key) name. A bucket's hash covers the
ids and value hashes of its rows in ascending order, so a bucket can be checked alone, and the order of writes is moot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

BUCKETS: Final = 2**16
FAN_OUT: Final = 16
SUBTREES: Final = BUCKETS // FAN_OUT
"""The nodes above the buckets: the rows below one can be checked alone."""
_HASH_BYTES: Final = 32
_ENTRY_BYTES: Final = 2 * _HASH_BYTES
_LEVELS: Final = 4
_BUCKET: Final = b"\x00"
_NODE: Final = b"\x01"


class Write(NamedTuple):
    """A row's new canonical value; None deletes the row. `row` is the row itself, where it is at hand.

    It is a tuple, which is made in a quarter of the time: a block has some for each of its readings.
    """

    table: str
    key: bytes
    value: bytes | None
    row: Any = None


@dataclass(frozen=True, slots=True)
class RootChange:
    """What a set of writes makes of the tree: the touched buckets' rows, and new hashes by index, a level each."""

    root: bytes
    buckets: Mapping[int, bytes]
    levels: Sequence[Mapping[int, bytes]]


class Buckets:
    """The tree over all rows; `change` computes without changing, `apply` makes it so.

    A bucket is kept as what its hash covers: row id ‖ value hash of each of its rows, in ascending order.
    """

    def __init__(self) -> None:
        """Make the tree of no rows."""
        self._rows: dict[int, bytes] = {}
        self._levels: list[bytearray] = []
        node, width = _bucket_hash(b""), BUCKETS
        for _ in range(_LEVELS + 1):
            self._levels.append(bytearray(node * width))
            node, width = _node_hash(node * FAN_OUT), width // FAN_OUT

    @property
    def root(self) -> bytes:
        """The 32-byte root over all rows."""
        return bytes(self._levels[_LEVELS])

    def change(self, writes: Iterable[Write]) -> RootChange:
        """Return what *writes* (at most one a row) would make of the tree."""
        buckets: dict[int, bytes] = {}
        for table, key, value, _ in writes:
            row_id = _row_id(table, key)
            index = _bucket_of(row_id)
            rows = buckets.get(index)
            if rows is None:
                rows = self._rows.get(index, b"")
            entry = b"" if value is None else row_id + hashlib.sha256(value).digest()
            buckets[index] = _put(rows, row_id, entry) if rows else entry
        levels = [{index: _bucket_hash(rows) for index, rows in buckets.items()}]
        for level in range(_LEVELS):
            levels.append(self._climb(level, levels[level]))
        return RootChange(levels[_LEVELS].get(0, self.root), buckets, levels)

    def apply(self, change: RootChange) -> None:
        """Make *change*, which was computed on this very tree."""
        self._rows.update(change.buckets)
        for hashes, nodes in zip(self._levels, change.levels, strict=True):
            for index, node in nodes.items():
                hashes[index * _HASH_BYTES : (index + 1) * _HASH_BYTES] = node

    def _climb(self, level: int, changed: Mapping[int, bytes]) -> dict[int, bytes]:
        """Return the nodes above those that *changed* at *level*."""
        hashes, size = self._levels[level], FAN_OUT * _HASH_BYTES
        parents: dict[int, bytearray] = {}
        for index, node in changed.items():
            parent, place = divmod(index, FAN_OUT)
            children = parents.get(parent)
            if children is None:
                children = parents[parent] = hashes[parent * size : (parent + 1) * size]
            children[place * _HASH_BYTES : (place + 1) * _HASH_BYTES] = node
        return {parent: _node_hash(children) for parent, children in parents.items()}


def subtree_of(table: str, key: bytes) -> int:
    """Return the index of the subtree (of SUBTREES) that a row lies in."""
    return _bucket_of(_row_id(table, key)) // FAN_OUT


def subtree_hash(index: int, rows: Iterable[Write]) -> bytes:
    """Return the hash of subtree *index* over *rows*, all that it holds; raises ValueError for a row of another."""
    buckets = [b""] * FAN_OUT
    for row in rows:
        row_id = _row_id(row.table, row.key)
        subtree, place = divmod(_bucket_of(row_id), FAN_OUT)
        if subtree != index or row.value is None:
            raise ValueError(f"a row of {row.table} does not lie in subtree {index}")
        buckets[place] = _put(buckets[place], row_id, row_id + hashlib.sha256(row.value).digest())
    return _node_hash(b"".join(map(_bucket_hash, buckets)))


def root_of_subtrees(nodes: Sequence[bytes]) -> bytes:
    """Return the state root over the hashes of all SUBTREES subtrees."""
    level = list(nodes)
    while len(level) > 1:
        level = [_node_hash(b"".join(level[first : first + FAN_OUT])) for first in range(0, len(level), FAN_OUT)]
    return level[0]


def _row_id(table: str, key: bytes) -> bytes:
    return hashlib.sha256(table.encode() + b"\x00" + key).digest()


def _bucket_of(row_id: bytes) -> int:
    return int.from_bytes(row_id[:2], "big")


def _put(rows: bytes, row_id: bytes, entry: bytes) -> bytes:
    """Return a bucket's *rows* with *entry* (empty: nothing) in the place of what they hold of *row_id*."""
    place, count = 0, len(rows) // _ENTRY_BYTES
    while count:  # bisect: the first entry whose id is not below
        half = count // 2
        middle = place + half * _ENTRY_BYTES
        if rows[middle : middle + _HASH_BYTES] < row_id:
            place, count = middle + _ENTRY_BYTES, count - half - 1
        else:
            count = half
    is_there = rows[place : place + _HASH_BYTES] == row_id
    return rows[:place] + entry + rows[place + _ENTRY_BYTES * is_there :]


def _bucket_hash(rows: bytes) -> bytes:
    return hashlib.sha256(_BUCKET + rows).digest()


def _node_hash(children: bytes | bytearray) -> bytes:
    return hashlib.sha256(_NODE + children).digest()
