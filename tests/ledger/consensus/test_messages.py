from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor
from ledger.consensus.effects import Step
from ledger.consensus.messages import FRESH, MAX_ROUND, Message, Proposal, Refusal, Vote, decode, restore, sign
from ledger.consensus.status import Status, decode_status
from ledger.envelope import Kind, seal
from ledger.errors import MalformedError
from tests.ledger.consensus.scenario import CHAIN_ID, authorities, key

BLOCK = bytes(range(32))
MEMBERS = authorities(4)
SETS = {5: MEMBERS}
VOTE = Vote(Kind.PRECOMMIT, 5, 2, BLOCK)
PROPOSAL = Proposal(5, 2, FRESH, BLOCK)
PROPOSER = MEMBERS.proposer(5, 2)


@pytest.mark.parametrize("statement", [VOTE, Vote(Kind.PREVOTE, 5, 0, None), PROPOSAL, Proposal(5, 2, 1, BLOCK)])
def test_a_message_decodes_to_what_was_signed(statement: Vote | Proposal) -> None:
    message = sign(statement, CHAIN_ID, PROPOSER, key(PROPOSER))
    assert decode(message.raw, SETS, CHAIN_ID) == message
    stored = restore(statement, CHAIN_ID, PROPOSER, key(PROPOSER).public_key, message.signature)
    assert stored == message


def test_a_message_is_refused_with_its_reason() -> None:
    good = sign(VOTE, CHAIN_ID, 1, key(1)).raw
    assert decode(good, SETS, b"elsewher") is Refusal.OTHER_CHAIN
    assert decode(good, {6: MEMBERS}, CHAIN_ID) is Refusal.OTHER_HEIGHT
    assert decode(good[:-1] + bytes([good[-1] ^ 1]), SETS, CHAIN_ID) is Refusal.BAD_SIGNATURE
    assert decode(sign(VOTE, CHAIN_ID, 9, key(9)).raw, SETS, CHAIN_ID) is Refusal.UNKNOWN_SENDER
    other = (PROPOSER + 1) % 4
    assert decode(sign(PROPOSAL, CHAIN_ID, other, key(other)).raw, SETS, CHAIN_ID) is Refusal.NOT_THE_PROPOSER


@pytest.mark.parametrize(
    "payload",
    [
        [Kind.TRANSACTION.value, CHAIN_ID, 5, 2, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID, 5, 2],
        [Kind.PREVOTE.value, CHAIN_ID, 5, 2, BLOCK[:-1]],
        [Kind.PREVOTE.value, CHAIN_ID, 0, 2, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID, 5, -1, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID, 5, MAX_ROUND + 1, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID, 2**64, 1, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID, True, 1, BLOCK],
        [Kind.PREVOTE.value, CHAIN_ID[:4], 5, 1, BLOCK],
        [Kind.PROPOSAL.value, CHAIN_ID, 5, 2, 2, BLOCK],
        [Kind.PROPOSAL.value, CHAIN_ID, 5, 2, -2, BLOCK],
        [Kind.PROPOSAL.value, CHAIN_ID, 5, 2, FRESH, None],
        [True],
        [],
        7,
    ],
)
def test_a_malformed_statement_is_malformed_however_well_it_is_signed(payload: object) -> None:
    with pytest.raises(MalformedError):
        decode(seal(cbor.encode(payload), key(1)), SETS, CHAIN_ID)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(data, SETS, CHAIN_ID)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_message_with_one_bit_changed_is_not_taken(position: int, bit: int) -> None:
    raw = bytearray(sign(VOTE, CHAIN_ID, 1, key(1)).raw)
    raw[position % len(raw)] ^= 1 << bit
    try:
        outcome = decode(bytes(raw), SETS, CHAIN_ID)
    except MalformedError:
        return
    assert not isinstance(outcome, Message)


def test_a_status_survives_the_wire() -> None:
    votes = (((0, Kind.PREVOTE, BLOCK), (0, 2)), ((3, Kind.PRECOMMIT, None), (1,)))
    status = Status(5, 3, Step.PREVOTE, frozenset({0, 3}), votes)
    assert decode_status(status.encode()) == status


@pytest.mark.parametrize(
    "values",
    [
        [5, 3, 2, []],
        [5, 3, 9, [], []],
        [-5, 3, 2, [], []],
        [5, 3, 2, [-1], []],
        [5, 3, 2, [None], []],
        [5, 3, 2, [], [[0, 33, None]]],
        [5, 3, 2, [], [[0, 32, None, []]]],
        [5, 3, 2, [], [[0, [], None, []]]],
        [5, 3, 2, [], [[0, 33, b"short", []]]],
        [5, 3, 2, [], [[0, 33, None, [-1]]]],
        [5, 3, 2, [], [7]],
        7,
    ],
)
def test_a_malformed_status_is_refused(values: object) -> None:
    with pytest.raises(MalformedError):
        decode_status(cbor.encode(values))
