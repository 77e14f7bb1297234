"""What authorities say to each other: proposals, prevotes and precommits, each an envelope signed with a vote key.

    proposal  [32, chain id, height, round, valid round, block id]     valid round -1: a fresh block
    vote      [33 or 34, chain id, height, round, block id or null]    33 prevote, 34 precommit; null: nil

A `Statement` is what is said, a `Message` is a statement with its checked signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, Literal

from ledger import cbor, keys
from ledger.authority import AuthoritySet
from ledger.block import HASH_BYTES
from ledger.envelope import Envelope, Kind, assemble, fields, parse, seal, to_be_signed
from ledger.errors import MalformedError

FRESH: Final = -1
"""The valid round of a proposal that proposes a new block; also "no round" of locks."""

MAX_ROUND: Final = 2**31 - 1
MAX_HEIGHT: Final = 2**63 - 1
MAX_MESSAGE_BYTES: Final = 256
_REMEMBERED_CHECKS: Final = 1_024
"""Less than a megabyte; all messages of a few heights."""

VoteKind = Literal[Kind.PREVOTE, Kind.PRECOMMIT]
SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""(vote key, payload, signature) -> whether it is that key's: `is_signed_by`, or a simulation's stand-in."""

Slot = tuple[int, int, int]
"""(height, round, kind): an authority ever signs at most one statement for it. The key of `sign_state`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """*block_id* is proposed for *round*; `valid_round` is FRESH, or the round whose prevotes support it already."""

    height: int
    round: int
    valid_round: int
    block_id: bytes

    @property
    def kind(self) -> Kind:
        """PROPOSAL."""
        return Kind.PROPOSAL

    @property
    def slot(self) -> Slot:
        """(height, round, kind)."""
        return self.height, self.round, Kind.PROPOSAL

    def payload(self, chain_id: bytes) -> bytes:
        """Return the envelope payload of the statement on the chain *chain_id* (8 bytes)."""
        return cbor.encode(
            [
                Kind.PROPOSAL.value,
                chain_id,
                self.height,
                self.round,
                self.valid_round,
                self.block_id,
            ]
        )


@dataclass(frozen=True, slots=True)
class Vote:
    """A prevote or precommit for a block, or for none (`block_id` None: nil)."""

    kind: VoteKind
    height: int
    round: int
    block_id: bytes | None

    @property
    def slot(self) -> Slot:
        """(height, round, kind)."""
        return self.height, self.round, self.kind

    def payload(self, chain_id: bytes) -> bytes:
        """Return the envelope payload of the statement on the chain *chain_id* (8 bytes)."""
        return cbor.encode([self.kind.value, chain_id, self.height, self.round, self.block_id])


Statement = Proposal | Vote


@dataclass(frozen=True, slots=True)
class Message:
    """A statement whose signature is checked: `sender` is the authority's index in the set of the height."""

    statement: Statement
    sender: int
    raw: bytes

    @property
    def signature(self) -> bytes:
        """The 64 signature bytes: what a commit certificate keeps of a precommit."""
        return self.raw[-keys.SIGNATURE_BYTES :]


class Refusal(Enum):
    """Why a well-formed message is not taken."""

    OTHER_CHAIN = "other_chain"
    OTHER_HEIGHT = "other_height"
    UNKNOWN_SENDER = "unknown_sender"
    BAD_SIGNATURE = "bad_signature"
    NOT_THE_PROPOSER = "not_the_proposer"


def sign(statement: Statement, chain_id: bytes, sender: int, key: keys.Signer) -> Message:
    """Return *statement* signed with the vote key of the authority at index *sender*.

    For the shell's signer only, which first asks `sign_state` (see `effects.Cast`).
    """
    return Message(statement, sender, seal(statement.payload(chain_id), key))


def restore(
    statement: Statement,
    chain_id: bytes,
    sender: int,
    public_key: bytes,
    signature: bytes,
) -> Message:
    """Return the message that a stored *signature* makes of *statement*; the signature is trusted."""
    return Message(
        statement,
        sender,
        assemble(keys.key_id(public_key), statement.payload(chain_id), signature),
    )


@lru_cache(_REMEMBERED_CHECKS)
def is_signed_by(vote_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Tell whether *signature* is *vote_key*'s over an envelope with *payload*.

    The newest answers are remembered: a certificate in a block holds precommits that came as messages just before.
    """
    return keys.verify(vote_key, to_be_signed(keys.key_id(vote_key), payload), signature)


def decode(
    raw: bytes, sets: Mapping[int, AuthoritySet], chain_id: bytes, is_signed_by: SignatureCheck = is_signed_by
) -> Message | Refusal:
    """Return the message in the envelope *raw* if its signature holds, or why it is refused.

    *sets* maps each height whose messages are wanted to its authorities: for a node working on height h these are
    h - 1 (late precommits), h, h + 1 and, once known, h + 2. Raises MalformedError for what no correct node sends.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MalformedError(f"a consensus message has at most {MAX_MESSAGE_BYTES} bytes, not {len(raw)}")
    envelope = parse(raw)
    chain, statement = read_statement(envelope.payload)
    if chain != chain_id:
        return Refusal.OTHER_CHAIN
    authorities = sets.get(statement.height)
    if authorities is None:
        return Refusal.OTHER_HEIGHT
    return _verify(envelope, statement, authorities, is_signed_by)


def read_statement(payload: bytes) -> tuple[bytes, Statement]:
    """Return the chain id and the statement in an envelope's payload; raises MalformedError."""
    values = cbor.decode(payload)
    kind = values[0] if type(values) is list and values else None
    if type(kind) is int and kind == Kind.PROPOSAL:
        chain, height, round_, valid_round, block_id = fields(payload, Kind.PROPOSAL, 5)
        _require_position(chain, height, round_)
        if type(valid_round) is not int or not FRESH <= valid_round < round_:
            raise MalformedError("a proposal's valid round is -1 or a round before its own")
        return chain, Proposal(height, round_, valid_round, _block_id(block_id))
    if type(kind) is int and kind in (Kind.PREVOTE, Kind.PRECOMMIT):
        vote_kind: VoteKind = Kind.PREVOTE if kind == Kind.PREVOTE else Kind.PRECOMMIT
        chain, height, round_, value = fields(payload, vote_kind, 4)
        _require_position(chain, height, round_)
        return chain, Vote(vote_kind, height, round_, None if value is None else _block_id(value))
    raise MalformedError("the payload is neither a proposal nor a vote")


def _verify(
    envelope: Envelope, statement: Statement, authorities: AuthoritySet, is_signed_by: SignatureCheck
) -> Message | Refusal:
    for sender, authority in enumerate(authorities.members):
        if keys.key_id(authority.vote_key) == envelope.key_id:
            if not is_signed_by(authority.vote_key, envelope.payload, envelope.signature):
                return Refusal.BAD_SIGNATURE
            if statement.kind == Kind.PROPOSAL and authorities.proposer(statement.height, statement.round) != sender:
                return Refusal.NOT_THE_PROPOSER
            return Message(statement, sender, envelope.raw)
    return Refusal.UNKNOWN_SENDER


def _require_position(chain: cbor.Value, height: cbor.Value, round_: cbor.Value) -> None:
    if type(chain) is not bytes or len(chain) != keys.KEY_ID_BYTES:
        raise MalformedError("a consensus message's chain id is not 8 bytes")
    if type(height) is not int or not 0 < height <= MAX_HEIGHT:
        raise MalformedError("a consensus message's height is out of range")
    if type(round_) is not int or not 0 <= round_ <= MAX_ROUND:
        raise MalformedError("a consensus message's round is out of range")


def _block_id(value: cbor.Value) -> bytes:
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise MalformedError("a block id is not 32 bytes")
    return value
