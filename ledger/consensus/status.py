"""The status report that nodes exchange every 300-500 ms, so that each sees what the others lack (LEDGER rule 9).

    [height, round, step, [proposal round, ...], [[round, kind, block id or null, [sender, ...]], ...]]

It is not signed: the TLS peer it came from answers for it, and a lie costs nobody but the liar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger import cbor
from ledger.block import HASH_BYTES
from ledger.consensus.effects import Step
from ledger.consensus.messages import MAX_HEIGHT, MAX_ROUND
from ledger.envelope import Kind
from ledger.errors import MalformedError

MAX_STATUS_BYTES: Final = 64 * 2**10
REPORTED_ROUNDS: Final = 32
"""A status lists the proposals and votes of this many rounds up to its own, and of the valid round."""

Held = tuple[int, int, bytes | None]
"""(round, kind, block id or None): one value in one round that votes are held for."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a node stands and what it holds: rounds of proposals, and for each value the senders of its votes."""

    height: int
    round: int
    step: Step
    proposals: frozenset[int]
    votes: tuple[tuple[Held, tuple[int, ...]], ...]

    def encode(self) -> bytes:
        """Return the canonical bytes of the report."""
        votes = [[round_, int(kind), block_id, list(senders)] for (round_, kind, block_id), senders in self.votes]
        return cbor.encode([self.height, self.round, self.step.value, sorted(self.proposals), votes])


def decode_status(data: bytes) -> Status:
    """Return the report that *data* encodes; raises MalformedError."""
    if len(data) > MAX_STATUS_BYTES:
        raise MalformedError(f"a status has at most {MAX_STATUS_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 5 or type(values[3]) is not list or type(values[4]) is not list:
        raise MalformedError("a status has height, round, step, proposals and votes")
    height, round_, step, proposals, votes = values
    if not _is_uint(height, MAX_HEIGHT) or not _is_uint(round_, MAX_ROUND) or not _is_uint(step, Step.DECIDED):
        raise MalformedError("a status's height, round or step is out of range")
    if not all(_is_uint(number, MAX_ROUND) for number in proposals) or proposals != sorted(set(proposals)):
        raise MalformedError("a status's proposal rounds are out of range, or do not ascend")
    return Status(
        height,
        round_,
        Step(step),
        frozenset(proposals),
        tuple(_votes(entry) for entry in votes),
    )


def _votes(entry: cbor.Value) -> tuple[Held, tuple[int, ...]]:
    if type(entry) is not list or len(entry) != 4 or type(entry[3]) is not list:
        raise MalformedError("a status's votes are [round, kind, block id, senders]")
    round_, kind, block_id, senders = entry
    if not _is_uint(round_, MAX_ROUND) or kind not in (Kind.PREVOTE, Kind.PRECOMMIT) or type(kind) is not int:
        raise MalformedError("a status's votes have a malformed round or kind")
    if block_id is not None and (type(block_id) is not bytes or len(block_id) != HASH_BYTES):
        raise MalformedError("a status's votes have a malformed block id")
    if not all(_is_uint(sender, MAX_ROUND) for sender in senders):
        raise MalformedError("a status's senders are out of range")
    return (round_, kind, block_id), tuple(senders)


def _is_uint(value: cbor.Value, limit: int) -> bool:
    return type(value) is int and 0 <= value <= limit
