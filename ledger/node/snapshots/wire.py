"""The frames by which a snapshot goes from node to node. Decoded here once; nothing that comes out is believed yet.

SNAPSHOTS_WANTED []                 SNAPSHOTS [first whole block, [[height, block id] …]]
MANIFEST_WANTED  block id           MANIFEST  a snapshot's manifest
PART_WANTED [block id, number]      PART      [block id, number, part]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ledger import cbor
from ledger.block import HASH_BYTES
from ledger.errors import MalformedError
from ledger.node.network.wire import Frame, FrameType


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node has: every block from `first_block` on, and snapshots, block ids by height."""

    first_block: int
    snapshots: Mapping[int, bytes]


def snapshots_wanted() -> Frame:
    """Return the frame that asks which snapshots a node has."""
    return Frame(FrameType.SNAPSHOTS_WANTED, cbor.encode([]))


def snapshots(offer: Offer) -> Frame:
    """Return the frame that answers it."""
    held = [[height, block_id] for height, block_id in sorted(offer.snapshots.items())]
    return Frame(FrameType.SNAPSHOTS, cbor.encode([offer.first_block, held]))


def manifest_wanted(block_id: bytes) -> Frame:
    """Return the frame that asks for the manifest of the snapshot after the block."""
    return Frame(FrameType.MANIFEST_WANTED, block_id)


def manifest(data: bytes) -> Frame:
    """Return the frame that answers it."""
    return Frame(FrameType.MANIFEST, data)


def part_wanted(block_id: bytes, number: int) -> Frame:
    """Return the frame that asks for a part of a snapshot."""
    return Frame(FrameType.PART_WANTED, cbor.encode([block_id, number]))


def part(block_id: bytes, number: int, data: bytes) -> Frame:
    """Return the frame that answers it."""
    return Frame(FrameType.PART, cbor.encode([block_id, number, data]))


def read_snapshots(payload: bytes) -> Offer:
    """Return an offer; raises MalformedError."""
    values = cbor.decode(payload)
    if type(values) is not list or len(values) != 2 or not _is_uint(values[0]) or type(values[1]) is not list:
        raise MalformedError("an offer has a first block and snapshots")
    if any(type(pair) is not list or len(pair) != 2 or not _is_uint(pair[0]) for pair in values[1]):
        raise MalformedError("an offered snapshot has a height and a block id")
    if any(not _is_hash(block_id) for _, block_id in values[1]):
        raise MalformedError("an offered snapshot's block id is malformed")
    if any(one[0] >= next_[0] for one, next_ in pairwise(values[1])):
        raise MalformedError("offered snapshots do not ascend by height")
    return Offer(values[0], dict(values[1]))


def read_manifest_wanted(payload: bytes) -> bytes:
    """Return the block id; raises MalformedError."""
    if not _is_hash(payload):
        raise MalformedError("a manifest is asked for by its block's id")
    return payload


def read_part_wanted(payload: bytes) -> tuple[bytes, int]:
    """Return (block id, number); raises MalformedError."""
    values = cbor.decode(payload)
    if type(values) is not list or len(values) != 2 or not _is_hash(values[0]) or not _is_uint(values[1]):
        raise MalformedError("a part is asked for by its block's id and its number")
    return values[0], values[1]


def read_part(payload: bytes) -> tuple[bytes, int, bytes]:
    """Return (block id, number, part), unchecked; raises MalformedError."""
    values = cbor.decode(payload)
    if type(values) is not list or len(values) != 3 or not _is_hash(values[0]) or not _is_uint(values[1]):
        raise MalformedError("a part comes with its block's id and its number")
    if type(values[2]) is not bytes:
        raise MalformedError("a part is a byte string")
    return values[0], values[1], values[2]


def _is_uint(value: cbor.Value) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_hash(value: cbor.Value) -> bool:
    return type(value) is bytes and len(value) == HASH_BYTES
