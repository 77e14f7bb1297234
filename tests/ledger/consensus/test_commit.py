from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.block import Commit
from ledger.consensus.commit import build_commit, verify_commit
from ledger.consensus.messages import Message, Vote, VoteKind, sign
from ledger.envelope import Kind
from tests.ledger.consensus.scenario import CHAIN_ID, authorities, key

BLOCK = bytes(range(32))
MEMBERS = authorities(4)


def precommit(sender: int, round_: int = 1, kind: VoteKind = Kind.PRECOMMIT) -> Message:
    return sign(Vote(kind, 3, round_, BLOCK), CHAIN_ID, sender, key(sender))


def certificate(*senders: int) -> Commit:
    return build_commit(3, 1, BLOCK, [precommit(sender) for sender in senders])


def test_q_precommits_are_a_certificate_and_fewer_are_none() -> None:
    assert verify_commit(certificate(3, 0, 1), MEMBERS, CHAIN_ID)
    assert verify_commit(certificate(0, 1, 2, 3), MEMBERS, CHAIN_ID)
    assert not verify_commit(certificate(0, 1), MEMBERS, CHAIN_ID)


def test_a_quorum_of_six_is_five() -> None:
    members = authorities(6)
    assert not verify_commit(certificate(0, 1, 2, 3), members, CHAIN_ID)
    assert verify_commit(certificate(0, 1, 2, 3, 5), members, CHAIN_ID)


def test_one_authority_counts_once() -> None:
    good = certificate(0, 1)
    assert not verify_commit(replace(good, signatures=(*good.signatures, good.signatures[1])), MEMBERS, CHAIN_ID)


@pytest.mark.parametrize("index", [-1, 4, 2**63])
def test_an_index_out_of_range_is_no_fault_but_a_refusal(index: int) -> None:
    good = certificate(0, 1, 2)
    signatures = tuple(sorted((*good.signatures[:2], (index, good.signatures[2][1]))))
    assert not verify_commit(replace(good, signatures=signatures), MEMBERS, CHAIN_ID)


def test_every_signature_must_hold_even_beyond_the_quorum() -> None:
    good = certificate(0, 1, 2, 3)
    for bad in (b"", bytes(64), good.signatures[0][1]):
        signatures = (*good.signatures[:3], (3, bad))
        assert not verify_commit(replace(good, signatures=signatures), MEMBERS, CHAIN_ID)


def test_a_certificate_holds_for_its_height_round_block_and_chain_alone() -> None:
    good = certificate(0, 1, 2)
    for other in (replace(good, height=4), replace(good, round=0), replace(good, block_id=bytes(32))):
        assert not verify_commit(other, MEMBERS, CHAIN_ID)
    assert not verify_commit(good, MEMBERS, b"elsewher")


def test_prevotes_are_no_precommits() -> None:
    prevotes = [precommit(sender, kind=Kind.PREVOTE) for sender in range(4)]
    assert not verify_commit(build_commit(3, 1, BLOCK, prevotes), MEMBERS, CHAIN_ID)
