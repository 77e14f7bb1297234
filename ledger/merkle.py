"""The log's Merkle tree (RFC 6962 §2.1): SHA-256, leaf prefix 0x00, node prefix 0x01."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
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
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the tree grown by leaves, given as their *leaf hashes* in order."""
        peaks, size = list(self.peaks), self.size
        for node in leaves:
            count = size
            while count & 1:
                node = node_hash(peaks.pop(), node)  # noqa: PLW2901 (the leaf becomes the node over it)
                count >>= 1
            peaks.append(node)
            size += 1
        return Frontier(size, tuple(peaks))

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
    return Frontier().extend(map(leaf_hash, leaves)).root()


RangeHash = Callable[[int, int], bytes]
"""(start, end) -> the hash over leaves start to end - 1, of a range that RFC 6962 makes a node of."""


def hashes_over(leaves: Sequence[bytes]) -> RangeHash:
    """Return the range hashes of a small tree, given all its *leaf hashes*."""

    def hash_of(start: int, end: int) -> bytes:
        return Frontier().extend(leaves[start:end]).root()

    return hash_of


def inclusion_path(index: int, size: int, hash_of: RangeHash) -> tuple[bytes, ...]:
    """Return the audit path (RFC 6962 §2.1.1) of leaf *index* in the tree of *size* leaves, lowest node first.

    Raises ValueError where *index* is not in the tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(hash_of(middle, end))
            end = middle
        else:
            path.append(hash_of(start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_path(old_size: int, size: int, hash_of: RangeHash) -> tuple[bytes, ...]:
    """Return the proof (RFC 6962 §2.1.2) that the tree of *size* leaves begins with that of *old_size*.

    It is empty where either tree says all by itself; raises ValueError where the old tree is the larger one.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} leaves does not begin with {old_size}")
    if old_size in (0, size):
        return ()
    start, end, path = 0, size, []
    while end != old_size:
        middle = start + split(end - start)
        if old_size <= middle:
            path.append(hash_of(middle, end))
            end = middle
        else:
            path.append(hash_of(start, middle))
            start = middle
    if start:  # else the old tree is a whole node of the new one, and its root is known
        path.append(hash_of(start, end))
    return tuple(reversed(path))


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


def is_consistent(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether *path* shows that the tree (size, root) begins with the old one (RFC 9162 §2.1.4.2)."""
    if not 0 <= old_size <= size or len(path) > MAX_PATH:
        return False
    if old_size in (0, size):
        return not path and old_root == (root if old_size else EMPTY_ROOT)
    nodes = path if old_size & (old_size - 1) else [old_root, *path]
    return bool(path) and roots_from_path(old_size, size, nodes) == (old_root, root)


def roots_from_path(old_size: int, size: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots of the trees of *old_size* and of *size* leaves that *nodes* of both lead to.

    *nodes* is a consistency path; where the old tree is a node of the new one (its size is a power of two), its root
    comes first. None where the path has not the length that the sizes demand, or a node is no hash.
    """
    if not 0 < old_size < size or not nodes or any(len(node) != HASH_BYTES for node in nodes):
        return None
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return (old, new) if last == 0 else None


def split(size: int) -> int:
    """Return how many of *size* leaves (2 or more) lie left of the root: the largest power of two below."""
    return 1 << ((size - 1).bit_length() - 1)
