from __future__ import annotations

import pytest

from ledger import cbor
from ledger.authority import AuthoritySet
from ledger.consensus.evidence import MAX_AGE_BLOCKS, Evidence, EvidenceRefusal, Offence, check
from ledger.consensus.messages import Proposal, Statement, Vote, sign
from ledger.envelope import Kind
from tests.ledger.consensus.scenario import CHAIN_ID, authorities, key

A, B = bytes(32), bytes(range(32))
MEMBERS = authorities(4)
FIRST, SECOND = Vote(Kind.PREVOTE, 5, 2, A), Vote(Kind.PREVOTE, 5, 2, None)
OFFENCE = Offence(MEMBERS.members[1].id, FIRST.slot)


def evidence(first: Statement, second: Statement, signers: tuple[int, int] = (1, 1), chain: bytes = CHAIN_ID) -> bytes:
    messages = [sign(one, chain, sender, key(sender)) for one, sender in zip((first, second), signers, strict=True)]
    return Evidence.of(*messages).encode()


def judge(data: bytes, height: int = 9, committed: tuple[Offence, ...] = ()) -> Offence | EvidenceRefusal:
    def authorities_at(number: int) -> AuthoritySet | None:
        return MEMBERS if number == 5 else None

    return check(data, chain_id=CHAIN_ID, height=height, authorities_at=authorities_at, committed=committed)


def test_two_different_votes_for_one_slot_are_an_offence() -> None:
    assert judge(evidence(FIRST, SECOND)) == OFFENCE
    assert judge(evidence(SECOND, FIRST)) == OFFENCE
    assert judge(evidence(FIRST, SECOND), committed=(OFFENCE,)) is EvidenceRefusal.ALREADY_COMMITTED


def test_two_proposals_for_one_round_are_an_offence_also_where_only_the_valid_round_differs() -> None:
    first, second = Proposal(5, 2, -1, A), Proposal(5, 2, 1, A)
    assert judge(evidence(first, second)) == Offence(MEMBERS.members[1].id, first.slot)


@pytest.mark.parametrize(
    ("second", "signers"),
    [
        (FIRST, (1, 1)),
        (Vote(Kind.PREVOTE, 5, 3, None), (1, 1)),
        (Vote(Kind.PREVOTE, 6, 2, None), (1, 1)),
        (Vote(Kind.PRECOMMIT, 5, 2, None), (1, 1)),
        (Proposal(5, 2, -1, B), (1, 1)),
        (SECOND, (1, 2)),
    ],
)
def test_what_one_may_say_contradicts_nothing(second: Statement, signers: tuple[int, int]) -> None:
    refusals = {EvidenceRefusal.NO_CONTRADICTION, EvidenceRefusal.MALFORMED}
    assert judge(evidence(FIRST, second, signers)) in refusals


def test_one_bogus_signature_convicts_nobody() -> None:
    first, second = (sign(one, CHAIN_ID, 1, key(1)).raw for one in (FIRST, SECOND))
    for pair in ((first[:-64] + bytes(64), second), (first, second[:-1] + bytes([second[-1] ^ 1]))):
        assert judge(cbor.encode(sorted(pair))) is EvidenceRefusal.BAD_SIGNATURE


def test_evidence_is_of_this_chain_of_a_known_set_and_neither_old_nor_of_the_future() -> None:
    assert judge(evidence(FIRST, SECOND, chain=b"elsewher")) is EvidenceRefusal.OTHER_CHAIN
    assert judge(evidence(FIRST, SECOND, (9, 9))) is EvidenceRefusal.UNKNOWN_AUTHORITY
    assert judge(evidence(FIRST, SECOND), height=4) is EvidenceRefusal.TOO_NEW
    assert judge(evidence(FIRST, SECOND), height=5 + MAX_AGE_BLOCKS) == OFFENCE
    assert judge(evidence(FIRST, SECOND), height=6 + MAX_AGE_BLOCKS) is EvidenceRefusal.TOO_OLD
    unknown = evidence(Vote(Kind.PREVOTE, 7, 0, A), Vote(Kind.PREVOTE, 7, 0, B))
    assert judge(unknown) is EvidenceRefusal.UNKNOWN_AUTHORITY


def test_one_contradiction_has_one_form() -> None:
    first, second = cbor.decode(evidence(FIRST, SECOND))
    for values in ([second, first], [first, first], [first], [first, second, second], [first, 7], 7):
        assert judge(cbor.encode(values)) is EvidenceRefusal.MALFORMED
    assert judge(b"") is EvidenceRefusal.MALFORMED
    assert judge(evidence(FIRST, SECOND) + b"\x00") is EvidenceRefusal.MALFORMED
