"""A proof of a transaction's receipt holds as it is, and with no byte changed."""

from __future__ import annotations

import hashlib

import pytest

from ledger import cbor, merkle, receipt_proof, records
from ledger.checkpoint import VerifierKey, cosign, cosigner_name, sign_as_log, verifier_keys
from ledger.proof import ProofRefusedError
from ledger.receipt_proof import ReceiptProof
from tests.ledger import proof_kit
from tests.ledger.proof_kit import CHAIN_ID, TIME_S, WITNESSES, ProofKit, authority_set, private_key

TRANSACTION = hashlib.sha256(b"transaction").digest()
EVENTS = cbor.encode([["market", "reading", [["meter", b"m" * 8], ["code", 0]]]])


RECEIPT = records.ReceiptRecord(TRANSACTION, 9, 2, 0, hashlib.sha256(EVENTS).digest())
FEE = records.FeeRecord(b"a" * 8, 9, b"o" * 8, b"m" * 8, 2_000_000, 5)


def make(
    signers: tuple[int, ...] = (0, 1, 3),
    witnesses: tuple[str, ...] = (),
    said: records.Record = RECEIPT,
    events: bytes = EVENTS,
) -> bytes:
    """Return the proof of the third of seven leaves, cosigned by the authorities at *signers* and *witnesses*.

    The leaf has *said*.
    """
    record, leaf = records.encode(said), records.leaf(said, b"s" * 32)
    others = tuple(hashlib.sha256(bytes([place])).digest() for place in range(6))
    leaves = (*others[:2], leaf, *others[2:])
    kit = ProofKit(authority_set(), None, None, leaves, 2)  # type: ignore[arg-type]
    hashes = [merkle.leaf_hash(one) for one in leaves]
    path = tuple(merkle.inclusion_path(2, len(hashes), merkle.hashes_over(hashes)))
    lines = [
        cosign(kit.covered(), cosigner_name(kit.origin, member.name), private_key(f"{member.name} cosign"), TIME_S)
        for member in kit.authorities.members
    ]
    lines = [lines[place] for place in signers]
    signatures = (sign_as_log(kit.covered(), private_key("PEA log")), *lines, *kit.witnessed(*witnesses))
    return ReceiptProof(b"s" * 32, record, events, 2, path, kit.covered(), signatures).encode()


VERIFIERS = verifier_keys(authority_set(), f"campusgrid/{CHAIN_ID.hex()}")


def test_a_good_proof_tells_what_the_transaction_did() -> None:
    proven = receipt_proof.verify(make(), TRANSACTION, VERIFIERS)
    assert (proven.record.height, proven.record.code) == (9, 0)
    assert proven.events == (("market", "reading", {"meter": b"m" * 8, "code": 0}),)


def test_witnesses_count_where_a_policy_names_them() -> None:
    demanded, data = proof_kit.make().policy, make(witnesses=WITNESSES)
    assert receipt_proof.verify(data, TRANSACTION, VERIFIERS, demanded) == receipt_proof.verify(
        make(), TRANSACTION, VERIFIERS
    )
    with pytest.raises(ProofRefusedError, match="a policy must name them"):
        receipt_proof.verify(data, TRANSACTION, VERIFIERS)
    with pytest.raises(ProofRefusedError, match="too few"):
        receipt_proof.verify(make(witnesses=WITNESSES[:1]), TRANSACTION, VERIFIERS, demanded)


def test_a_proof_with_any_byte_changed_is_refused() -> None:
    good = make()
    for place in range(len(good)):
        for flip in (1, 0x80):
            changed = good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :]
            with pytest.raises(ProofRefusedError):
                receipt_proof.verify(changed, TRANSACTION, VERIFIERS)
    for cut in range(len(good)):
        with pytest.raises(ProofRefusedError):
            receipt_proof.verify(good[:cut], TRANSACTION, VERIFIERS)


def test_a_fee_that_a_block_took_is_proven_as_it_is_and_with_no_byte_changed() -> None:
    good = make(said=FEE, events=b"")
    assert receipt_proof.verify_fee(good, VERIFIERS) == FEE
    for place in range(len(good)):
        for flip in (1, 0x80):
            changed = good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :]
            with pytest.raises(ProofRefusedError):
                receipt_proof.verify_fee(changed, VERIFIERS)


def test_a_receipt_passes_for_no_fee_a_fee_for_no_receipt_and_a_fee_has_no_events() -> None:
    for data, check in ((make(), receipt_proof.verify_fee), (make(said=FEE, events=b""), verify_receipt)):
        with pytest.raises(ProofRefusedError, match="format"):
            check(data, VERIFIERS)
    with pytest.raises(ProofRefusedError, match="events"):
        receipt_proof.verify_fee(make(said=FEE), VERIFIERS)


def verify_receipt(data: bytes, verifiers: list[VerifierKey]) -> object:
    return receipt_proof.verify(data, None, verifiers)


def test_true_is_no_version() -> None:
    good = make()
    with pytest.raises(ProofRefusedError, match="version"):
        receipt_proof.verify(good[:1] + b"\xf5" + good[2:], TRANSACTION, VERIFIERS)


@pytest.mark.parametrize("signers", [(0, 1), (0, 1, 2, 3), (1, 0, 3), (0, 0, 1)])
def test_less_than_a_quorum_or_another_order_is_refused(signers: tuple[int, ...]) -> None:
    with pytest.raises(ProofRefusedError, match="cosignatures"):
        receipt_proof.verify(make(signers), TRANSACTION, VERIFIERS)


def test_the_receipt_of_another_transaction_is_refused() -> None:
    with pytest.raises(ProofRefusedError, match="another one's"):
        receipt_proof.verify(make(), bytes(32), VERIFIERS)
