"""Every code that the ledger has: explained, and reached by the input it is for."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from ledger import cbor, transaction
from ledger.codes import EXPLANATIONS, FIRST_RECEIPT_CODE, Code, explain
from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Vote, sign
from ledger.envelope import Kind
from ledger.modules.authorities import DUTIES, Duty
from tests.ledger import (
    reached_by_anchors,
    reached_by_blocks,
    reached_by_calls,
    reached_by_governance,
    reached_by_oracle,
    reached_by_readings,
    reached_by_registry,
)
from tests.ledger.chain_kit import Chain, id_of, key_of, make_chain, reading_codes
from tests.ledger.code_kit import SCENARIOS, E, next_block, reject

REACHED_BY = (
    reached_by_anchors, reached_by_blocks, reached_by_calls, reached_by_governance, reached_by_oracle,
    reached_by_readings, reached_by_registry,
)  # fmt: skip


@pytest.fixture
def chain() -> Chain:
    """Return a chain where user0 may sell with meter 0 (10 kW) and user1 may buy with meter 1."""
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    return chain


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_every_code_is_explained_and_reached(code: Code, chain: Chain) -> None:
    assert explain(code).meaning
    assert explain(code).next_step
    before = chain.state.root
    nonces = {name: person.nonce for name, person in chain.people.items()}
    assert SCENARIOS[code](chain) is code
    if code < FIRST_RECEIPT_CODE and code is not Code.DONE:
        assert chain.state.root == before
        assert nonces.keys() == chain.people.keys()


def test_no_scenario_and_no_explanation_is_left_over() -> None:
    assert set(SCENARIOS) == set(EXPLANATIONS) == set(Code)


def test_evidence_is_recorded_once_and_charged_to_the_culprit() -> None:
    chain = make_chain()
    votes = [Vote(Kind.PREVOTE, 1, 0, bytes([n] * 32)) for n in (1, 2)]
    messages = [sign(vote, chain.genesis.chain_id, 2, key_of(1020)) for vote in votes]
    proof = Evidence.of(*messages).encode()
    execution = chain.block(evidence=[proof, proof, b"nonsense"])
    assert list(chain.blocks[-1].evidence) == [proof]
    assert [event.name for event in execution.events] == ["offence"]
    assert chain.state.get(DUTIES, id_of(102)) == Duty(0, 1)
    chain.block(evidence=[proof])
    assert list(chain.blocks[-1].evidence) == []
    assert reject(chain, replace(next_block(chain), evidence=(proof,))) is Code.WRONG_EVIDENCE


def test_a_certificate_without_an_authority_counts_as_its_missed_vote() -> None:
    chain = make_chain()
    commit = chain.commit()
    assert commit is not None
    block = next_block(chain, last_commit=replace(commit, signatures=commit.signatures[1:]))
    chain.state.apply(chain.runtime.execute(chain.state, block))
    assert chain.state.get(DUTIES, id_of(100)) == Duty(1, 0)
    assert chain.state.get(DUTIES, id_of(101)) is None


def test_one_bad_reading_does_not_hold_up_the_good_ones_of_its_report(chain: Chain) -> None:
    chain.to_epoch(E)
    good = [meter.boundary(E, 5, 0) for meter in chain.meters]
    receipt = chain.must("gateway", "market", "report_intervals", [good[0], b"bad", good[1]])
    assert reading_codes(receipt) == [Code.DONE, Code.READING_UNDECODABLE, Code.DONE]


def test_a_refused_transaction_is_visible_in_the_block_with_its_code(chain: Chain) -> None:
    receipt = chain.run("user0", "money", "transfer", chain.people["user0"].id, 1)
    assert receipt.record.code == Code.SAME_ACCOUNT
    assert receipt.record.effects_hash == hashlib.sha256(cbor.encode([])).digest()
    assert receipt.record.transaction_id == transaction.decode(chain.blocks[-1].transactions[0]).id
