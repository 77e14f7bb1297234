"""The verdict is worth something only if it finds fault: each thing that must not happen, made up, is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Vote, sign
from ledger.envelope import Kind
from ledger.transaction import decode
from tests.ledger.chain_kit import AUTHORITY_NAMES, Chain, key_of, make_chain
from tests.ledger.faults.chains import Replay, Slot, Stored, replay
from tests.ledger.faults.history import History, Read, Sight, Transfer
from tests.ledger.faults.verdict import judge_chains, judge_history, judge_signatures

HEIGHTS = 5
"""One block to begin with, then one with a transfer after another."""
NOBODY: frozenset[str] = frozenset()


@dataclass
class Case:
    """A sound history of one client and of a node's readers, the chain behind it, and each node's directory."""

    chain: Chain
    history: History
    replayed: Replay
    stored: list[Stored]

    def told(self) -> str:
        return "\n".join([*judge_history(self.history, self.replayed), *self._judge_nodes()])

    def _judge_nodes(self) -> Iterator[str]:
        rules = self.chain.genesis
        yield from judge_chains(self.stored, rules.chain_id, rules.authorities, NOBODY)
        yield from judge_signatures(self.stored, rules.chain_id, rules.authorities, NOBODY)


@pytest.fixture
def case() -> Case:
    chain = make_chain()
    user, other = chain.people["user0"].id, chain.people["user1"].id
    for _ in range(HEIGHTS - 1):
        chain.must("user0", "money", "transfer", other, 7)
    chain.to_epoch(chain.epoch + 1)  # so that the last transfer's block has its certificate in the next
    commits = [one.last_commit for one in chain.blocks[1:]]
    bodies = [one.encode() for one in chain.blocks[:-1]]
    replayed = replay(chain.genesis, bodies, [user, other])
    history = History()
    for place, (known, outcome) in enumerate(replayed.outcomes.items()):
        history.transfers.append(Transfer(known, user, other, 7, 10.0 * place, 10.0 * place + 5, outcome))
        history.sights.append(Sight("ERC", 0, 10.0 * place + 3, 10.0 * place + 4, known, outcome))
    for height in range(1, HEIGHTS + 1):
        balance, nonce = replayed.balances[height][user], replayed.nonces[height][user]
        history.reads.append(Read("ERC", 0, height - 100.0, height - 99.5, user, height, balance, nonce))
    blocks = [(body, commit) for body, commit in zip(bodies, commits, strict=True) if commit is not None]
    signed: dict[Slot, bytes] = {
        (commit.height, commit.round, int(Kind.PRECOMMIT)): Vote(
            Kind.PRECOMMIT, commit.height, commit.round, commit.block_id
        ).payload(chain.genesis.chain_id)
        for _, commit in blocks
    }
    return Case(chain, history, replayed, [Stored(name, blocks, dict(signed), []) for name in AUTHORITY_NAMES])


def test_a_sound_history_is_found_sound(case: Case) -> None:
    assert len(case.history.transfers) == HEIGHTS - 1
    assert case.told() == ""


def test_an_acknowledged_transfer_that_the_chain_has_not_is_told(case: Case) -> None:
    case.history.transfers[1].id = bytes(32)
    assert "true is None" in case.told()
    assert "sent by nobody" in case.told()


def test_an_acknowledgement_with_another_outcome_is_told(case: Case) -> None:
    one = case.history.transfers[2]
    assert one.outcome is not None
    one.outcome = replace(one.outcome, code=1)
    assert "was acknowledged as" in case.told()


def test_a_transfer_that_stands_before_what_was_final_when_it_began_is_told(case: Case) -> None:
    first, last = case.history.transfers[0], case.history.transfers[-1]
    last.invoked_s, last.acknowledged_s = first.invoked_s - 5, first.invoked_s - 1
    assert "began after another was final" in case.told()


def test_overlapping_transfers_may_stand_in_any_order(case: Case) -> None:
    before, last = case.history.transfers[-2:]
    last.invoked_s, last.acknowledged_s = before.invoked_s - 1, before.invoked_s + 1
    assert "began after another" not in case.told()


@pytest.mark.parametrize("changes", [{"balance_aaip": 1}, {"nonce": 0}, {"height": HEIGHTS + 1}])
def test_a_read_that_is_not_the_state_at_its_height_is_told(case: Case, changes: dict[str, Any]) -> None:
    case.history.reads[-1] = replace(case.history.reads[-1], **changes)
    assert "ERC showed" in case.told()


def test_a_node_that_goes_back_is_told_and_one_with_new_data_is_not(case: Case) -> None:
    early = case.history.reads[0]
    again = replace(early, invoked_s=200.0, returned_s=201.0)
    case.history.reads.append(again)
    assert f"ERC showed height {HEIGHTS}, and later 1" in case.told()
    case.history.reads[-1] = replace(again, life=1)
    assert case.told() == ""


def test_a_node_that_forgets_what_it_held_as_final_is_told(case: Case) -> None:
    known = case.history.sights[0]
    case.history.sights.append(replace(known, invoked_s=200.0, returned_s=201.0, outcome=None))
    assert "later did not know it" in case.told()
    case.history.sights[-1] = replace(known, invoked_s=0.0, returned_s=201.0, outcome=None)
    assert case.told() == ""


def test_a_receipt_that_is_not_true_is_told(case: Case) -> None:
    known = case.history.sights[0]
    assert known.outcome is not None
    case.history.sights[0] = replace(known, outcome=replace(known.outcome, index=3))
    assert "true is" in case.told()


def test_a_fork_is_told(case: Case) -> None:
    blocks = list(case.stored[2].blocks)
    blocks[2] = blocks[1]
    case.stored[2] = replace(case.stored[2], blocks=blocks)
    told = case.told()
    assert "PEA has another block at height 3: the chain has forked" in told
    assert "PEA lacks blocks" in told
    assert "names another parent" in told


def test_a_certificate_without_a_quorum_is_told(case: Case) -> None:
    blocks = list(case.stored[0].blocks)
    body, commit = blocks[1]
    blocks[1] = body, replace(commit, signatures=commit.signatures[:2])
    case.stored[0] = replace(case.stored[0], blocks=blocks)
    assert "ERC: the certificate of block 2 does not hold" in case.told()


def test_a_second_value_for_a_slot_is_told_also_from_data_that_was_lost(case: Case) -> None:
    slot = (2, 0, int(Kind.PREVOTE))
    case.stored.append(Stored("MEA", [], {slot: b"one"}, []))
    assert case.told() == ""
    case.stored.append(Stored("MEA", [], {slot: b"another"}, []))
    assert f"MEA signed two values for (height, round, type) {slot}" in case.told()


def test_a_vote_that_its_node_did_not_keep_is_told(case: Case) -> None:
    case.stored[3].signed.clear()
    assert "EGAT keeps no precommit as ERC holds of it" in case.told()


def test_evidence_against_a_correct_node_and_evidence_of_nothing_are_told(case: Case) -> None:
    rules = case.chain.genesis
    votes = [sign(Vote(Kind.PREVOTE, 1, 0, value), rules.chain_id, 0, key_of(1000)) for value in (None, bytes(32))]
    proof = Evidence.of(*votes).encode()
    case.stored[1] = replace(case.stored[1], evidence=[proof])
    assert "MEA holds evidence against ERC" in case.told()
    assert not list(judge_chains(case.stored, rules.chain_id, rules.authorities, frozenset({"ERC"})))
    case.stored[1] = replace(case.stored[1], evidence=[b"\x80"])
    assert "proves nothing" in case.told()


def test_a_block_that_executes_to_something_else_is_told(case: Case) -> None:
    bodies: Sequence[bytes] = [body for body, _ in case.stored[0].blocks]
    found = replay(case.chain.genesis, [*bodies[:2], bodies[3]], [])
    assert "does not execute to what was decided" in found.faults[0]
    assert decode(case.chain.blocks[1].transactions[0]).id in found.outcomes
