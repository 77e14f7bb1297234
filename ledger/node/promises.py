"""What is on the disk before anything is sent, and how it comes back after a restart.

A signature is a promise: it is stored with every input and block that led to it, in one transaction. A decision is
stored with all that it changes and with the own cosignature over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.consensus import messages
from ledger.consensus.messages import Message
from ledger.errors import CorruptedError, MalformedError
from ledger.handover import Handover
from ledger.node.chain import Candidate, decide
from ledger.node.storage.store import Signed, SignedType, Store


@dataclass(frozen=True, slots=True)
class StoredHeight:
    """What was stored of the height in progress, and the certificate of the one before."""

    height: int
    last_commit: Commit | None
    signed: list[Signed]
    inputs: list[bytes]
    candidates: dict[bytes, bytes]
    evidence: list[bytes]


def store_promise(signed: Signed, inputs: Sequence[Message], blocks: Sequence[Candidate], store: Store) -> None:
    """Write what the node is about to sign with what it rests on; raises DoubleSigningError."""
    for message in inputs:
        store.add_input(message.statement.height, message.raw)
    for candidate in blocks:
        store.add_candidate(candidate.block.header.height, candidate.block.id, candidate.body)
    store.sign(signed)


def store_decision(
    candidate: Candidate, commit: Commit, own: Signed | None, handover: Handover | None, store: Store
) -> None:
    """Write a decided block, all that follows from it, the own cosignature over the log after it, and a *handover*."""
    store.save(decide(candidate, commit))
    if handover is not None:
        store.add_handover(handover.height, handover.encode())
    if own is not None:
        store.sign(own)


def read_height(store: Store, height: int) -> StoredHeight:
    """Return what was stored of *height*."""
    return StoredHeight(
        height,
        store.commit(height - 1),
        store.signed(height),
        store.inputs(height),
        store.candidates(height),
        store.evidence(),
    )


def restore(stored: StoredHeight, chain_id: bytes, authorities: AuthoritySet, own: int | None) -> tuple[Message, ...]:
    """Return authority *own*'s messages (an outsider has none), then the inputs, as `HeightStarted.log` wants them.

    Raises CorruptedError where what is stored is no consensus message.
    """
    try:
        return _restore(stored, chain_id, authorities, own)
    except MalformedError as error:
        raise CorruptedError(
            f"the stored messages of height {stored.height} are damaged ({error}): move the data directory away and"
            " start again to copy the chain from the other authorities"
        ) from error


def _restore(stored: StoredHeight, chain_id: bytes, authorities: AuthoritySet, own: int | None) -> tuple[Message, ...]:
    found: list[Message] = []
    for signed in stored.signed if own is not None else ():
        if signed.type is not SignedType.COSIGNATURE and own is not None:
            _, statement = messages.read_statement(signed.value)
            public_key = authorities.members[own].vote_key
            found.append(messages.restore(statement, chain_id, own, public_key, signed.message))
    for raw in stored.inputs:
        message = messages.decode(raw, {stored.height: authorities}, chain_id)
        if isinstance(message, Message):
            found.append(message)
    return tuple(found)
