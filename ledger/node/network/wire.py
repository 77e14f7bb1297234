"""What the frames between nodes carry. Decoded here once; nothing that comes out is believed yet.

MESSAGE    a consensus message's envelope
PROPOSAL   [envelope, block]                          STATUS    [status | null, height, provable size, clock, observes]
WANTED     [height, block id]                         CANDIDATE [block id, block]
RANGE      [first height, count]                      DECIDED   [block, commit certificate]
RESULT_WANTED [height, block id]                      RESULT    what a node computed for a block (`node.reporting`)
TRANSACTIONS [transaction's envelope, …]              COSIGNATURE [log size, authority index, signature bytes]
ADDRESS    [host, port]: where the sender listens

Those of snapshots are in `node.snapshots.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ledger import cbor
from ledger.block import HASH_BYTES, MAX_BLOCK_BYTES, Commit, decode_commit
from ledger.consensus.messages import MAX_MESSAGE_BYTES
from ledger.consensus.status import MAX_STATUS_BYTES, Status, decode_status
from ledger.errors import MalformedError
from ledger.node.reporting.results import MAX_RESULT_BYTES
from ledger.snapshot import MAX_MANIFEST_BYTES, MAX_PART_BYTES
from ledger.transaction import MAX_TRANSACTION_BYTES

_FEW_BYTES: Final = 512
"""Room for ids, numbers, one signature or one consensus message, and for the framing around something larger."""
MAX_COMMIT_BYTES: Final = 16 * 2**10
"""Room for the certificate of more authorities than there can be."""
MAX_HOST_CHARACTERS: Final = 255

MAX_PASSED_ON_BYTES: Final = 2 * MAX_TRANSACTION_BYTES
"""Room for transactions that are passed on together, the few bytes before each included."""
_ITEM_HEAD_BYTES: Final = 5


class FrameType(IntEnum):
    """What a frame carries; the first one on every link is a HELLO."""

    HELLO = 0
    MESSAGE = 1
    PROPOSAL = 2
    STATUS = 3
    WANTED = 4
    CANDIDATE = 5
    RANGE = 6
    DECIDED = 7
    TRANSACTIONS = 8
    COSIGNATURE = 9
    SNAPSHOTS_WANTED = 10
    SNAPSHOTS = 11
    MANIFEST_WANTED = 12
    MANIFEST = 13
    PART_WANTED = 14
    PART = 15
    ADDRESS = 16
    RESULT_WANTED = 20
    RESULT = 21


MAX_PAYLOAD_BYTES: Final = {
    FrameType.HELLO: _FEW_BYTES,
    FrameType.MESSAGE: MAX_MESSAGE_BYTES,
    FrameType.PROPOSAL: MAX_BLOCK_BYTES + _FEW_BYTES,
    FrameType.STATUS: MAX_STATUS_BYTES + _FEW_BYTES,
    FrameType.WANTED: _FEW_BYTES,
    FrameType.CANDIDATE: MAX_BLOCK_BYTES + _FEW_BYTES,
    FrameType.RANGE: _FEW_BYTES,
    FrameType.DECIDED: MAX_BLOCK_BYTES + MAX_COMMIT_BYTES,
    FrameType.TRANSACTIONS: MAX_PASSED_ON_BYTES + _FEW_BYTES,
    FrameType.COSIGNATURE: _FEW_BYTES,
    FrameType.SNAPSHOTS_WANTED: _FEW_BYTES,
    FrameType.SNAPSHOTS: _FEW_BYTES,
    FrameType.MANIFEST_WANTED: _FEW_BYTES,
    FrameType.MANIFEST: MAX_MANIFEST_BYTES,
    FrameType.PART_WANTED: _FEW_BYTES,
    FrameType.PART: MAX_PART_BYTES + _FEW_BYTES,
    FrameType.ADDRESS: _FEW_BYTES,
    FrameType.RESULT_WANTED: _FEW_BYTES,
    FrameType.RESULT: MAX_RESULT_BYTES,
}
"""How long a payload can be: queues are counted in frames, so no peer may fill one with long frames of a short kind."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message between nodes as it came: the payload is neither decoded nor believed."""

    kind: FrameType
    payload: bytes


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Where a node stands: its consensus status (None before it takes part), height in progress, provable log size.

    `clock_ms` is its clock when it sent this (Unix ms): for operators, who see whose clock is off. None: it says not.
    One that `observes` signs nothing at that height: it may have forgotten what it signed.
    """

    status: Status | None
    height: int
    provable_size: int
    clock_ms: int | None = None
    observes: bool = False


@dataclass(frozen=True, slots=True)
class CosignatureReport:
    """An authority's cosignature over its checkpoint of the log at `size`."""

    size: int
    authority: int
    data: bytes


def hello(protocol: int, chain_id: bytes, name: str) -> Frame:
    """Return the first frame of a link."""
    return Frame(FrameType.HELLO, cbor.encode([protocol, chain_id, name]))


def message(raw: bytes) -> Frame:
    """Return the frame of a consensus message."""
    return Frame(FrameType.MESSAGE, raw)


def proposal(raw: bytes, body: bytes) -> Frame:
    """Return the frame of a proposal together with its block."""
    return Frame(FrameType.PROPOSAL, cbor.encode([raw, body]))


def report(own: NodeReport) -> Frame:
    """Return the frame that tells the others where this node stands."""
    status = own.status.encode() if own.status else None
    parts = [status, own.height, own.provable_size, own.clock_ms, int(own.observes)]
    return Frame(FrameType.STATUS, cbor.encode(parts))


def wanted(height: int, block_id: bytes) -> Frame:
    """Return the frame that asks for a block of the height in progress."""
    return Frame(FrameType.WANTED, cbor.encode([height, block_id]))


def result_wanted(height: int, block_id: bytes) -> Frame:
    """Return the frame that asks for what a peer computed for a block."""
    return Frame(FrameType.RESULT_WANTED, cbor.encode([height, block_id]))


def result(encoded: bytes) -> Frame:
    """Return the frame that answers `result_wanted` with a `Result.encode`."""
    return Frame(FrameType.RESULT, encoded)


def candidate(block_id: bytes, body: bytes) -> Frame:
    """Return the frame that answers `wanted`."""
    return Frame(FrameType.CANDIDATE, cbor.encode([block_id, body]))


def block_range(first: int, count: int) -> Frame:
    """Return the frame that asks for decided blocks."""
    return Frame(FrameType.RANGE, cbor.encode([first, count]))


def decided(body: bytes, commit: Commit) -> Frame:
    """Return the frame of a decided block."""
    return Frame(FrameType.DECIDED, cbor.encode([body, commit.fields()]))


def transactions(raws: Iterable[bytes]) -> list[Frame]:
    """Return the frames that pass transactions on, as many in each as there is room for."""
    batches: list[list[bytes]] = []
    room = 0
    for raw in raws:
        size = len(raw) + _ITEM_HEAD_BYTES
        if size > room:
            batches.append([])
            room = MAX_PASSED_ON_BYTES
        batches[-1].append(raw)
        room -= size
    return [Frame(FrameType.TRANSACTIONS, cbor.encode(batch)) for batch in batches]


def cosignature(own: CosignatureReport) -> Frame:
    """Return the frame of a cosignature."""
    return Frame(FrameType.COSIGNATURE, cbor.encode([own.size, own.authority, own.data]))


def address(host: str, port: int) -> Frame:
    """Return the frame that tells a peer where this node listens."""
    return Frame(FrameType.ADDRESS, cbor.encode([host, port]))


def read_proposal(payload: bytes) -> tuple[bytes, bytes]:
    """Return (envelope, block); raises MalformedError."""
    raw, body = _values(payload, "proposal", bytes, bytes)
    return raw, body


def read_report(payload: bytes) -> NodeReport:
    """Return a node's report; raises MalformedError."""
    status, height, size, clock_ms, observes = _values(payload, "report", bytes | None, int, int, int | None, int)
    if observes > 1:
        raise MalformedError("a node observes (1) or it does not (0)")
    read = decode_status(status) if status is not None else None
    return NodeReport(read, height, size, clock_ms, observes == 1)


def read_wanted(payload: bytes) -> tuple[int, bytes]:
    """Return (height, block id); raises MalformedError."""
    height, block_id = _values(payload, "request for a block", int, bytes)
    return height, block_id


def read_candidate(payload: bytes) -> tuple[bytes, bytes]:
    """Return (block id, block); raises MalformedError."""
    block_id, body = _values(payload, "candidate", bytes, bytes)
    if len(block_id) != HASH_BYTES:
        raise MalformedError("a candidate's id is not 32 bytes")
    return block_id, body


def read_range(payload: bytes) -> tuple[int, int]:
    """Return (first height, count); raises MalformedError."""
    first, count = _values(payload, "request for blocks", int, int)
    if first == 0:
        raise MalformedError("blocks start at height 1")
    return first, count


def read_decided(payload: bytes) -> tuple[bytes, Commit]:
    """Return (block, certificate), signatures unchecked; raises MalformedError."""
    body, commit = _values(payload, "decided block", bytes, list)
    return body, decode_commit(commit)


def read_transactions(payload: bytes) -> list[bytes]:
    """Return the transactions that a peer passes on, undecoded; raises MalformedError."""
    raws = cbor.decode(payload)
    if type(raws) is not list or any(type(raw) is not bytes for raw in raws):
        raise MalformedError("a transactions frame is a list of byte strings")
    return raws


def read_cosignature(payload: bytes) -> CosignatureReport:
    """Return a cosignature, unchecked; raises MalformedError."""
    size, authority, data = _values(payload, "cosignature", int, int, bytes)
    return CosignatureReport(size, authority, data)


def read_address(payload: bytes) -> tuple[str, int]:
    """Return (host, port); raises MalformedError."""
    host, port = _values(payload, "address", str, int)
    if not 0 < len(host) <= MAX_HOST_CHARACTERS or not host.isprintable() or not 0 < port < 2**16:
        raise MalformedError("an address is a host name and a port")
    return host, port


def _values(payload: bytes, name: str, *types: object) -> list[cbor.Value]:
    values = cbor.decode(payload)
    if type(values) is not list or len(values) != len(types):
        raise MalformedError(f"a {name} frame has {len(types)} parts")
    for value, expected in zip(values, types, strict=True):
        if type(value) is bool or not isinstance(value, expected):  # type: ignore[arg-type]
            raise MalformedError(f"a {name} frame has a part of a wrong type")
        if type(value) is int and not 0 <= value < 2**63:
            raise MalformedError(f"a {name} frame has a number out of range")
    return values
