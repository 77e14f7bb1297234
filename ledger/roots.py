"""The state root: 2^16 hash buckets under a 16-ary SHA-256 tree, kept in memory and changed where rows change.

A row lies in the bucket that the first two bytes of its id SHA-256(table ‖ 00 ‖ key) name. A bucket's hash covers the
ids and value hashes of its rows in ascending order, so a bucket can be checked alone, and the order of writes is moot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

BUCKETS: Final = 2**16
FAN_OUT: Final = 16
SUBTREES: Final = BUCKETS // FAN_OUT
"""The nodes above the buckets: the rows below one can be checked alone."""
_HASH_BYTES: Final = 32
_LEVELS: Final = 4
_BUCKET: Final = b"\x00"
_NODE: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Write:
    """A row's new canonical value; None deletes the row. `row` is the row itself, where it is at hand."""

    table: str
    key: bytes
    value: bytes | None
    row: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RootChange:
    """What a set of writes makes of the tree: the touched buckets' rows, and new hashes by (level, index)."""

    root: bytes
    buckets: dict[int, dict[bytes, bytes]]
    nodes: dict[tuple[int, int], bytes]


class Buckets:
    """The tree over all rows; `change` computes without changing, `apply` makes it so."""

    def __init__(self) -> None:
        """Make the tree of no rows."""
        self._rows: dict[int, dict[bytes, bytes]] = {}
        self._levels: list[bytearray] = []
        node, width = _bucket_hash({}), BUCKETS
        for _ in range(_LEVELS + 1):
            self._levels.append(bytearray(node * width))
            node, width = _node_hash(node * FAN_OUT), width // FAN_OUT

    @property
    def root(self) -> bytes:
        """The 32-byte root over all rows."""
        return bytes(self._levels[_LEVELS])

    def change(self, writes: Iterable[Write]) -> RootChange:
        """Return what *writes* (at most one a row) would make of the tree."""
        buckets: dict[int, dict[bytes, bytes]] = {}
        for write in writes:
            row_id = _row_id(write.table, write.key)
            index = _bucket_of(row_id)
            rows = buckets.get(index)
            if rows is None:
                rows = buckets[index] = dict(self._rows.get(index, ()))
            if write.value is None:
                rows.pop(row_id, None)
            else:
                rows[row_id] = hashlib.sha256(write.value).digest()
        nodes = {(0, index): _bucket_hash(rows) for index, rows in buckets.items()}
        return RootChange(self._climb(nodes), buckets, nodes)

    def apply(self, change: RootChange) -> None:
        """Make *change*, which was computed on this very tree."""
        self._rows.update(change.buckets)
        for (level, index), node in change.nodes.items():
            self._levels[level][index * _HASH_BYTES : (index + 1) * _HASH_BYTES] = node

    def _climb(self, nodes: dict[tuple[int, int], bytes]) -> bytes:
        """Add to *nodes* the changed nodes above them; return the root."""
        changed = {index: node for (_, index), node in nodes.items()}
        for level in range(_LEVELS):
            parents: dict[int, bytearray] = {}
            for index, node in changed.items():
                children = parents.get(index // FAN_OUT)
                if children is None:
                    children = parents[index // FAN_OUT] = self._children(level, index // FAN_OUT)
                place = index % FAN_OUT * _HASH_BYTES
                children[place : place + _HASH_BYTES] = node
            changed = {parent: _node_hash(children) for parent, children in parents.items()}
            nodes.update(((level + 1, parent), node) for parent, node in changed.items())
        return nodes.get((_LEVELS, 0), self.root)

    def _children(self, level: int, parent: int) -> bytearray:
        """Return the hashes under node *parent* of the level above, as they are before the change."""
        size = FAN_OUT * _HASH_BYTES
        return self._levels[level][parent * size : (parent + 1) * size]


def subtree_of(table: str, key: bytes) -> int:
    """Return the index of the subtree (of SUBTREES) that a row lies in."""
    return _bucket_of(_row_id(table, key)) // FAN_OUT


def subtree_hash(index: int, rows: Iterable[Write]) -> bytes:
    """Return the hash of subtree *index* over *rows*, all that it holds; raises ValueError for a row of another."""
    buckets: list[dict[bytes, bytes]] = [{} for _ in range(FAN_OUT)]
    for row in rows:
        row_id = _row_id(row.table, row.key)
        subtree, place = divmod(_bucket_of(row_id), FAN_OUT)
        if subtree != index or row.value is None:
            raise ValueError(f"a row of {row.table} does not lie in subtree {index}")
        buckets[place][row_id] = hashlib.sha256(row.value).digest()
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


def _bucket_hash(rows: dict[bytes, bytes]) -> bytes:
    if len(rows) == 1:  # as in most of them
        ((row_id, value_hash),) = rows.items()
        return hashlib.sha256(_BUCKET + row_id + value_hash).digest()
    return hashlib.sha256(_BUCKET + b"".join([row_id + rows[row_id] for row_id in sorted(rows)])).digest()


def _node_hash(children: bytes | bytearray) -> bytes:
    return hashlib.sha256(_NODE + children).digest()
