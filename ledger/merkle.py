"""The log's Merkle tree (RFC 6962 §2.1): SHA-256, leaf prefix 0x00, node prefix 0x01."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
HASH_BYTES: Final = 32
MAX_PATH: Final = 63


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of leaf *data*."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """An append-only tree as its `size` and the roots of its perfect subtrees, largest first: all a writer needs."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """Return the tree grown by a leaf, given as its *leaf hash*."""
        peaks, node, count = list(self.peaks), leaf, self.size
        while count & 1:
            node = node_hash(peaks.pop(), node)
            count >>= 1
        return Frontier(self.size + 1, (*peaks, node))

    def root(self) -> bytes:
        """Return the tree's root hash."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over the *data* of all leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf_hash(leaf))
    return frontier.root()


def inclusion_path(index: int, size: int, leaf_at: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """Return the audit path (RFC 6962 §2.1.1) of leaf *index* in the tree of *size* leaves, lowest node first.

    *leaf_at(i)* gives the leaf hash of leaf i; raises ValueError where *index* is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return tuple(_path(index, 0, size, leaf_at))


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that *path* leads to from leaf hash *leaf* (RFC 9162 §2.1.3.2).

    None where the path has not the length that index and size demand, or a node is not a hash.
    """
    if not 0 <= index < size or len(path) > MAX_PATH or any(len(node) != HASH_BYTES for node in (leaf, *path)):
        return None
    node, place, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(start: int, end: int, leaf_at: Callable[[int], bytes]) -> bytes:
    frontier = Frontier()
    for index in range(start, end):
        frontier = frontier.append(leaf_at(index))
    return frontier.root()


def _path(index: int, start: int, end: int, leaf_at: Callable[[int], bytes]) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, leaf_at), _subtree(middle, end, leaf_at)]
    return [*_path(index, middle, end, leaf_at), _subtree(start, middle, leaf_at)]
