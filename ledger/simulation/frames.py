"""What travels between simulated nodes: consensus messages as the bytes of the wire, the rest as it is read there."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.block import Commit
from ledger.consensus.status import Status
from ledger.envelope import Kind


@dataclass(frozen=True, slots=True)
class MessageFrame:
    """A consensus message; with a proposal comes its block. The network may have something against `kind`, `round`."""

    raw: bytes
    kind: Kind
    round: int
    block: bytes | None = None


@dataclass(frozen=True, slots=True)
class StatusFrame:
    """A status report of a node; one that `observes` may have forgotten what it signed."""

    status: Status
    sent_ms: int
    observes: bool = False


@dataclass(frozen=True, slots=True)
class DecidedFrame:
    """A decided block with its certificate."""

    block: bytes
    commit: Commit


@dataclass(frozen=True, slots=True)
class FetchFrame:
    """A request for a block."""

    block_id: bytes


@dataclass(frozen=True, slots=True)
class BlockFrame:
    """The answer to a `FetchFrame`."""

    block: bytes


Frame = MessageFrame | StatusFrame | DecidedFrame | FetchFrame | BlockFrame
