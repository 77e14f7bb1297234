"""Proof that a transaction is final, with what it did: its receipt's leaf, opened, and the way to a checkpoint.

A fee that a block took by itself, of an order that rolled over, is proven in the same form.

    [1, salt, record, events, index, [path …], checkpoint note]        CBOR, one canonical encoding

`record` is the encoded `ledger.records.ReceiptRecord`, `events` what it commits to by their hash; or a `FeeRecord`, and
`events` are empty. Whoever reports to the ledger checks it before taking a node's word; what convinces a third party is
the settlement proof (`ledger.proof`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger import cbor, checkpoint, merkle, records
from ledger.checkpoint import Checkpoint, SignatureLine, VerifierKey
from ledger.errors import MalformedError
from ledger.policy import Policy
from ledger.proof import ProofRefusedError, check_cosigned
from ledger.records import FeeRecord, ReceiptRecord, RecordKind

MAX_PROOF_BYTES: Final = 4 * 2**20
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ReceiptProof:
    """The proof's parts; `path` runs from the leaf upwards."""

    salt: bytes
    record: bytes
    events: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    signatures: tuple[SignatureLine, ...]

    def encode(self) -> bytes:
        """Return the proof's bytes."""
        note = checkpoint.note(self.checkpoint, self.signatures)
        return cbor.encode([_VERSION, self.salt, self.record, self.events, self.index, list(self.path), note])


@dataclass(frozen=True, slots=True)
class ProvenReceipt:
    """A receipt that a quorum of the authorities vouches for; `events` are (module, name, values by name)."""

    record: ReceiptRecord
    events: tuple[tuple[str, str, dict[str, Any]], ...]


def parse(data: bytes) -> ReceiptProof:
    """Return the proof that *data* encodes, nothing checked yet; raises MalformedError."""
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedError(f"a receipt's proof has at most {MAX_PROOF_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 7 or values[0] != _VERSION or type(values[0]) is not int:
        raise MalformedError("this is no receipt's proof of version 1")
    _, salt, record, events, index, path, note = values
    if any(type(value) is not bytes for value in (salt, record, events)) or len(salt) != records.SALT_BYTES:
        raise MalformedError("salt, record and events of the proof are byte strings")
    if type(index) is not int or type(path) is not list or any(type(step) is not bytes for step in path):
        raise MalformedError("the proof's index is a number and its path a list of hashes")
    if type(note) is not str:
        raise MalformedError("the proof's checkpoint is text")
    return ReceiptProof(salt, record, events, index, tuple(path), *checkpoint.parse_note(note))


def verify(
    data: bytes, transaction_id: bytes | None, verifiers: Sequence[VerifierKey], demanded: Policy | None = None
) -> ProvenReceipt:
    """Return what *data* proves of a transaction to a holder of the authorities' keys; raises ProofRefusedError.

    Without a *transaction_id* it may be any transaction: the receipt says which. Where a policy is *demanded*, those
    who signed must meet it, too.
    """
    try:
        proof = parse(data)
        record = records.decode_receipt(proof.record)
        events = _decode_events(proof.events)
    except MalformedError as error:
        raise ProofRefusedError(f"format: {error}") from error
    if transaction_id is not None and record.transaction_id != transaction_id:
        raise ProofRefusedError("transaction: the receipt is another one's")
    if hashlib.sha256(proof.events).digest() != record.effects_hash:
        raise ProofRefusedError("events: they are not those that the receipt commits to")
    _check_logged(proof, RecordKind.RECEIPT, verifiers, demanded)
    return ProvenReceipt(record, events)


def verify_fee(data: bytes, verifiers: Sequence[VerifierKey], demanded: Policy | None = None) -> FeeRecord:
    """Return the fee that *data* proves, as `verify` does what a transaction did; raises ProofRefusedError."""
    try:
        proof = parse(data)
        fee = records.decode_fee(proof.record)
    except MalformedError as error:
        raise ProofRefusedError(f"format: {error}") from error
    if proof.events:
        raise ProofRefusedError("events: a fee's proof has none")
    _check_logged(proof, RecordKind.FEE, verifiers, demanded)
    return fee


def _check_logged(
    proof: ReceiptProof, kind: RecordKind, verifiers: Sequence[VerifierKey], demanded: Policy | None
) -> None:
    """Require that the log, as a quorum cosigned it, has the record as a leaf of its *kind*."""
    check_cosigned(proof.checkpoint, proof.signatures, verifiers, demanded)
    leaf = merkle.leaf_hash(records.leaf_of(kind, proof.record, proof.salt))
    if merkle.root_from_path(leaf, proof.index, proof.checkpoint.size, proof.path) != proof.checkpoint.root:
        raise ProofRefusedError("inclusion: the receipt is not at this place of the log that the checkpoint covers")


def _decode_events(data: bytes) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    try:
        return tuple((str(module), str(name), dict(pairs)) for module, name, pairs in cbor.decode(data))
    except (TypeError, ValueError) as error:
        raise MalformedError(f"the events are not encoded as events: {error}") from error
