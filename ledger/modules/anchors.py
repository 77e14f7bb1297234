"""The gateways' anchors: each gateway's own chain of Merkle roots over the readings that it received, minute by minute.

An anchor bounds the time of what it covers from above: it existed when the block that took it was made. A chain of
anchors grows in order and never forks: a gateway that lost its memory goes on from what the ledger has. The state keeps
each gateway's newest `KEPT` anchors; every one that was ever taken stands, with its hash, in the log (the receipt of
its transaction), where a proof of it does not need the state.

A reading's beacon names what bounds its time from below: a block, and an anchor. The state remembers the newest
`KEPT_BLOCKS` blocks, so that a beacon can be held against the chain itself (`judge_beacon`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Final

from ledger import anchor
from ledger.anchor import MAX_ANCHOR_BYTES, Anchor, Point
from ledger.codes import Code, Refusal
from ledger.errors import MalformedError
from ledger.genesis import Role
from ledger.modules.kinds import Bytes, Many
from ledger.modules.module import Context, Module
from ledger.reading import HASH_HEAD_BYTES, Beacon
from ledger.state import Overlay, Reader, Table

KEPT: Final = 1024
"""How many anchors of a gateway the state keeps, the newest: 17 hours at one a minute, beyond every settle deadline."""
KEPT_BLOCKS: Final = 8192
"""How many blocks the state remembers, the newest. A beacon with an older one proves nothing, for or against."""
MAX_ANCHORS_PER_CALL: Final = 64
MAX_AHEAD_S: Final = 10
"""How far an anchor's time may lie ahead of the block's. How far behind has no bound: an outage may last."""
LATE_S: Final = 120
"""An anchor that comes later than this is marked: for when it was made stands its gateway's word alone."""
_NUMBER_BYTES: Final = 8
AnchorList = Annotated[list[bytes], Many(Bytes(1, MAX_ANCHOR_BYTES), MAX_ANCHORS_PER_CALL)]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """A gateway's newest anchor."""

    number: int
    time_s: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """An anchor that was taken, under gateway ‖ number: its time, hash, and the time of the block that took it."""

    time_s: int
    hash: bytes
    taken_at_ms: int


@dataclass(frozen=True, slots=True)
class AnchorPlace:
    """Where the anchor with a hash lies in `ANCHORS`."""

    key: bytes


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block of this chain, under its height; `id` is b"" until the next block names it."""

    time_ms: int
    id: bytes


class BeaconVerdict(Enum):
    """What a beacon proves of the reading that carries it."""

    NOTHING = "nothing: there is none, or it is older than what is remembered"
    TRUE = "its block is of this chain, so the reading was made after it"
    FALSE = "no block or anchor of this chain is what it says"


HEADS: Final = Table("anchors.heads", ChainHead)
ANCHORS: Final = Table("anchors.anchors", AnchorRow)
PLACES: Final = Table("anchors.places", AnchorPlace)
BLOCKS: Final = Table("anchors.blocks", BlockRow)

module = Module("anchors", tables=(HEADS, ANCHORS, PLACES, BLOCKS))


@module.call(Role.GATEWAY)
def submit_anchors(context: Context, anchors: AnchorList) -> Refusal | None:
    """Take the sender's next anchors, in the order of their numbers.

    Each has its own code in the events; good ones count though later ones are refused, and repeats change nothing.
    """
    for raw in anchors:
        _take(context, raw)
    return None


def newest(view: Reader, gateway: bytes) -> Point:
    """Return where the chain of *gateway* stands on the ledger."""
    head = view.get(HEADS, gateway)
    return Point(head.number, head.time_s, head.hash) if head else Point()


def find(view: Reader, hash_head: bytes) -> tuple[int, AnchorRow] | None:
    """Return (number, row) of a kept anchor whose hash begins with *hash_head*, or None."""
    for _, place in view.scan(PLACES, hash_head):
        row = view.get(ANCHORS, place.key)
        if row is not None:
            return int.from_bytes(place.key[-_NUMBER_BYTES:], "big"), row
    return None


def judge_beacon(context: Context, beacon: Beacon | None) -> BeaconVerdict:
    """Return what *beacon* proves.

    Only a block proves a time: an anchor's is its gateway's word, and it may not have reached the ledger yet.
    """
    if beacon is None:
        return BeaconVerdict.NOTHING
    known = find(context.state, beacon.anchor_hash_head) if beacon.anchor else None
    if known is not None and (known[0], known[1].time_s) != (beacon.anchor, beacon.anchor_time):
        return BeaconVerdict.FALSE
    if beacon.height >= context.height:
        return BeaconVerdict.FALSE
    row = context.state.get(BLOCKS, _block_key(beacon.height))
    if row is None:
        return BeaconVerdict.NOTHING
    is_true = (row.time_ms // 1000, row.id[:HASH_HEAD_BYTES]) == (beacon.block_time, beacon.block_id_head)
    return BeaconVerdict.TRUE if is_true else BeaconVerdict.FALSE


def block_id_at(view: Reader, height: int) -> bytes | None:
    """Return the id of a block before the one in execution; None where it is none, or older than KEPT_BLOCKS."""
    row = view.get(BLOCKS, _block_key(height))
    return row.id if row is not None and row.id else None


def _remember_block(context: Context) -> None:
    """Remember this block, and the id of the one before, which it certifies."""
    commit = context.last_commit
    before = context.state.get(BLOCKS, _block_key(commit.height)) if commit else None
    if commit is not None and before is not None:
        context.state.put(BLOCKS, _block_key(commit.height), replace(before, id=commit.block_id))
    context.state.put(BLOCKS, _block_key(context.height), BlockRow(context.time_ms, b""))
    if context.height > KEPT_BLOCKS:
        context.state.delete(BLOCKS, _block_key(context.height - KEPT_BLOCKS))


module.begin = _remember_block


def _take(context: Context, raw: bytes) -> None:
    """Take one anchor, or say in the events why not."""
    try:
        offered = anchor.decode(raw)
    except MalformedError:
        context.emit("anchors", "anchor", number=None, hash=b"", late=False, code=int(Code.ANCHOR_UNDECODABLE))
        return
    code = _judge(context, offered)
    if code is Code.DONE:
        _append(context.state, offered, context.time_ms)
    late = offered.time < context.time_s - LATE_S
    context.emit("anchors", "anchor", number=offered.number, hash=offered.hash, late=late, code=int(code))


def _judge(context: Context, offered: Anchor) -> Code:
    """Return what becomes of *offered*: DONE where it is the next link of the sender's chain."""
    if offered.gateway != context.sender:
        return Code.ANCHOR_OF_ANOTHER
    head = newest(context.state, offered.gateway)
    if offered.number <= head.number:
        known = context.state.get(ANCHORS, _key(offered.gateway, offered.number))
        if known is None:
            return Code.ANCHOR_OUTDATED
        return Code.ANCHOR_REPEATED if known.hash == offered.hash else Code.ANCHOR_FORKED
    if offered.number > head.number + 1:
        return Code.ANCHOR_OUT_OF_ORDER
    if offered.previous != head.hash:
        return Code.ANCHOR_FORKED
    if offered.time <= head.time:
        return Code.ANCHOR_NOT_LATER
    return Code.ANCHOR_FROM_FUTURE if offered.time > context.time_s + MAX_AHEAD_S else Code.DONE


def _append(state: Overlay, taken: Anchor, time_ms: int) -> None:
    key, digest = _key(taken.gateway, taken.number), taken.hash
    state.put(HEADS, taken.gateway, ChainHead(taken.number, taken.time, digest))
    state.put(ANCHORS, key, AnchorRow(taken.time, digest, time_ms))
    state.put(PLACES, digest, AnchorPlace(key))
    if taken.number > KEPT:
        _forget(state, _key(taken.gateway, taken.number - KEPT))


def _forget(state: Overlay, key: bytes) -> None:
    row = state.get(ANCHORS, key)
    if row is not None:
        state.delete(ANCHORS, key)
        state.delete(PLACES, row.hash)


def _block_key(height: int) -> bytes:
    return height.to_bytes(_NUMBER_BYTES, "big")


def _key(gateway: bytes, number: int) -> bytes:
    """Return the key of a gateway's anchor: big-endian, so that keys ascend as numbers do."""
    return gateway + number.to_bytes(_NUMBER_BYTES, "big")
