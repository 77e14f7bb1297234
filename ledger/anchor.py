"""A gateway's anchor: once a minute, the Merkle root of the readings that it received, linked to the anchor before.

    ["campusgrid anchor 1", gateway's account, number, time, count, root, hash of the anchor before]

Its hash is the SHA-256 of that array in canonical CBOR. The tree is that of RFC 6962 (`ledger.merkle`); a leaf's data
is the 32-byte hash of a reading, in the order in which the gateway stored them. A minute in which nothing came has an
anchor, too: over the empty tree. What vouches for an anchor is the transaction that carries it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger import cbor, merkle
from ledger.errors import MalformedError

MAX_ANCHOR_BYTES: Final = 160
MAX_READINGS: Final = 20_000
"""How many readings one anchor covers at most; what came beyond them is the next one's."""
GATEWAY_BYTES: Final = 8
NO_ANCHOR: Final = bytes(merkle.HASH_BYTES)
"""What the first anchor of a gateway names as the one before."""
_TITLE: Final = "campusgrid anchor 1"
_FIELDS: Final = 7
_MAX_UINT32: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Anchor:
    """Anchor `number` (from 1) of account `gateway`, made at `time` (Unix seconds) over `count` readings."""

    gateway: bytes
    number: int
    time: int
    count: int
    root: bytes
    previous: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return cbor.encode([_TITLE, self.gateway, self.number, self.time, self.count, self.root, self.previous])

    @property
    def hash(self) -> bytes:
        """The anchor's 32-byte identity."""
        return hashlib.sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True)
class Point:
    """Where a gateway's chain of anchors stands: its newest anchor's number (0 = none yet), time and hash."""

    number: int = 0
    time: int = 0
    hash: bytes = NO_ANCHOR


def decode(data: bytes) -> Anchor:
    """Return the anchor that *data* canonically encodes; raises MalformedError."""
    if len(data) > MAX_ANCHOR_BYTES:
        raise MalformedError(f"an anchor has at most {MAX_ANCHOR_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or len(values) != _FIELDS or values[0] != _TITLE:
        raise MalformedError("this is no anchor of version 1")
    _, gateway, number, time, count, root, previous = values
    _require(type(gateway) is bytes and len(gateway) == GATEWAY_BYTES, "the gateway's account is not 8 bytes")
    _require(_is_uint(number) and number > 0, "its number is not in 1..2^32-1")
    _require(_is_uint(time), "its time is not in 0..2^32-1")
    _require(type(count) is int and 0 <= count <= MAX_READINGS, f"it covers more than {MAX_READINGS} readings")
    _require(_is_hash(root) and _is_hash(previous), "a hash is not 32 bytes")
    _require((count == 0) == (root == merkle.EMPTY_ROOT), "its root does not fit the number of readings")
    return Anchor(gateway, number, time, count, root, previous)


def follow(gateway: bytes, point: Point, time: int, hashes: Sequence[bytes]) -> Anchor:
    """Return the anchor behind *point* over readings with *hashes*; its time is *time*, or later where it must be."""
    return Anchor(gateway, point.number + 1, max(time, point.time + 1), len(hashes), merkle.root(hashes), point.hash)


def covers(anchor: Anchor, reading_hash: bytes, index: int, path: Sequence[bytes]) -> bool:
    """Tell whether *path* leads from a reading, the one at *index* (from 0), to the root of *anchor*."""
    leaf = merkle.leaf_hash(reading_hash)
    return merkle.root_from_path(leaf, index, anchor.count, path) == anchor.root


def _is_uint(value: cbor.Value) -> bool:
    return type(value) is int and 0 <= value <= _MAX_UINT32


def _is_hash(value: cbor.Value) -> bool:
    return type(value) is bytes and len(value) == merkle.HASH_BYTES


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise MalformedError(f"malformed anchor: {text}")
