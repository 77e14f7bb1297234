"""Proof that an authority signed two different statements for one slot (LEDGER rule 12), as it goes into a block.

    [envelope, envelope]     two messages of one authority for one (height, round, kind), ascending by bytes

Evidence is recorded; nothing removes an authority by itself. Amnesia (forgetting a lock) cannot be proven from two
messages and has no consequence.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger import cbor, keys
from ledger.authority import AuthoritySet
from ledger.consensus.messages import (
    MAX_MESSAGE_BYTES,
    Message,
    SignatureCheck,
    Slot,
    Statement,
    is_signed_by,
    read_statement,
)
from ledger.envelope import Envelope, parse
from ledger.errors import MalformedError

MAX_AGE_BLOCKS: Final = 100_000
"""Evidence of a height further back than this is refused: whoever would have to check it may have pruned it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two envelopes that contradict each other, `first` < `second` by bytes: one form for one contradiction."""

    first: bytes
    second: bytes

    @classmethod
    def of(cls, first: Message, second: Message) -> Evidence:
        """Return the evidence that two messages of one slot make (`effects.EvidenceFound`)."""
        return cls(*sorted((first.raw, second.raw)))

    def encode(self) -> bytes:
        """Return the canonical bytes: one item of `Block.evidence`."""
        return cbor.encode([self.first, self.second])


@dataclass(frozen=True, slots=True)
class Offence:
    """What checked evidence proves. It counts once, whichever pair of messages proves it."""

    authority_id: bytes
    slot: Slot


class EvidenceRefusal(Enum):
    """Why evidence proves nothing, or not here."""

    MALFORMED = "malformed"
    OTHER_CHAIN = "other_chain"
    NO_CONTRADICTION = "no_contradiction"
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    UNKNOWN_AUTHORITY = "unknown_authority"
    BAD_SIGNATURE = "bad_signature"
    ALREADY_COMMITTED = "already_committed"


def check(
    data: bytes,
    *,
    chain_id: bytes,
    height: int,
    authorities_at: Callable[[int], AuthoritySet | None],
    committed: Container[Offence],
    is_signed_by: SignatureCheck = is_signed_by,
) -> Offence | EvidenceRefusal:
    """Return the offence that *data* (`Evidence.encode`) proves in a block of *height*, or why it proves none.

    *authorities_at* gives the set in force at a height (None if unknown), *committed* the offences already on chain.
    """
    try:
        envelopes, statements, chains = _read(data)
    except MalformedError:
        return EvidenceRefusal.MALFORMED
    first, second = statements
    if chains != [chain_id, chain_id]:
        return EvidenceRefusal.OTHER_CHAIN
    if first.slot != second.slot or first == second or envelopes[0].key_id != envelopes[1].key_id:
        return EvidenceRefusal.NO_CONTRADICTION
    if first.height > height:
        return EvidenceRefusal.TOO_NEW
    if first.height < height - MAX_AGE_BLOCKS:
        return EvidenceRefusal.TOO_OLD
    return _judge(envelopes, first.slot, authorities_at(first.height), committed, is_signed_by)


def _judge(
    envelopes: list[Envelope],
    slot: Slot,
    authorities: AuthoritySet | None,
    committed: Container[Offence],
    is_signed_by: SignatureCheck,
) -> Offence | EvidenceRefusal:
    members = authorities.members if authorities is not None else ()
    culprit = next((one for one in members if keys.key_id(one.vote_key) == envelopes[0].key_id), None)
    if culprit is None:
        return EvidenceRefusal.UNKNOWN_AUTHORITY
    if not all(is_signed_by(culprit.vote_key, one.payload, one.signature) for one in envelopes):
        return EvidenceRefusal.BAD_SIGNATURE
    offence = Offence(culprit.id, slot)
    return EvidenceRefusal.ALREADY_COMMITTED if offence in committed else offence


def _read(data: bytes) -> tuple[list[Envelope], list[Statement], list[bytes]]:
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 2 or any(type(value) is not bytes for value in values):
        raise MalformedError("evidence is two envelopes")
    if values[0] >= values[1] or max(map(len, values)) > MAX_MESSAGE_BYTES:
        raise MalformedError("evidence's envelopes ascend and are consensus messages")
    envelopes = [parse(value) for value in values]
    read = [read_statement(envelope.payload) for envelope in envelopes]
    return envelopes, [statement for _, statement in read], [chain for chain, _ in read]
