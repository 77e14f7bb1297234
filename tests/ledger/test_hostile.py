"""Hostile input: whatever arrives is refused with a code; nothing crashes, nothing is made or lost."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import block, transaction
from ledger.codes import Code, Refusal
from ledger.errors import MalformedError
from ledger.modules import MODULES
from ledger.modules.kinds import Bytes, Flag, Integer, Many, Text
from ledger.runtime import InvalidBlockError, Runtime
from tests.ledger.chain_kit import START_EPOCH, Chain, make_chain

E = START_EPOCH + 1
CALLS = [
    call
    for module in MODULES
    for call in module.calls.values()
    if call.name != "change_key"  # a sender whose key changed rightly gets nothing more in that its old key signed
]
SENDERS = ("user0", "user1", "admin", "admin2", "gateway", "authority", "authority1", "authority2", "grid")

integers = st.sampled_from(
    [0, 1, -1, 99, 100, 2_200_000, 3_000_000, E, E + 1, 2**31, 2**63 - 1, 2**63, 10**40, 2**128 - 1]
)
scalars = st.one_of(
    integers, st.integers(-(2**127), 2**127), st.binary(max_size=40), st.text(max_size=50), st.booleans(), st.none()
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def fitting(chain: Chain, kind: object) -> st.SearchStrategy[Any]:
    """Return arguments of the right kind, known ids and real readings among them."""
    ids = [person.id for person in chain.people.values()] + [meter.id for meter in chain.meters]
    readings = [meter.boundary(E - 1, 5, 5) for meter in chain.meters]
    if isinstance(kind, Bytes):
        fresh = st.binary(min_size=kind.lowest, max_size=min(kind.highest, 64))
        known = [value for value in (*ids, *readings) if kind.accepts(value)]
        return fresh | st.sampled_from(known) if known else fresh
    if isinstance(kind, Many):
        return st.lists(st.binary(max_size=200) | st.sampled_from(readings), min_size=1, max_size=4)
    if isinstance(kind, Integer):
        return integers.filter(kind.accepts) | st.integers(kind.lowest, kind.highest)
    if isinstance(kind, Text):
        return st.text(min_size=1, max_size=kind.highest) | st.sampled_from(["prosumer", "consumer"])
    assert isinstance(kind, Flag)
    return st.booleans()


@settings(max_examples=60)
@given(st.data())
def test_calls_with_any_arguments_by_anybody_only_ever_give_codes(data: st.DataObject) -> None:
    """`Chain.block` executes twice and holds money, GRID and energy against the tables."""
    chain = make_chain()
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    raws = []
    for _ in range(data.draw(st.integers(1, 12))):
        call = data.draw(st.sampled_from(CALLS))
        sender = data.draw(st.sampled_from(SENDERS))
        if data.draw(st.booleans()):
            arguments = [data.draw(fitting(chain, kind)) for _, kind in call.arguments]
        else:
            arguments = data.draw(st.lists(values, max_size=6))
        try:
            raws.append(chain.sign(sender, call.module, call.name, *arguments))
        except ValueError:  # beyond what the format can say at all
            chain.people[sender].nonce -= 1
    chain.block(*raws)
    chain.to_epoch(E)
    chain.to_epoch(E + 1)


@given(st.binary(max_size=300))
def test_random_bytes_are_no_transaction(raw: bytes) -> None:
    chain = CHAIN
    checked = chain.runtime.check_transaction(chain.state, raw)
    assert isinstance(checked, Refusal)
    assert checked.code is Code.UNDECODABLE


def test_every_flipped_bit_of_a_transaction_is_refused() -> None:
    chain = make_chain()
    raw = chain.sign("user0", "money", "transfer", chain.people["user1"].id, 5)
    assert isinstance(chain.runtime.check_transaction(chain.state, raw), transaction.Transaction)
    for place in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            assert isinstance(chain.runtime.check_transaction(chain.state, bytes(flipped)), Refusal)


def test_altered_blocks_are_refused_and_never_crash_a_node() -> None:
    """A bit flipped anywhere in a block: only the field that names the proposer may still be valid."""
    chain, random = make_chain(), Random(3)
    chain.add_based_meter("user0", 0)
    parent = chain.runtime.genesis_state()
    for earlier in chain.blocks[:-1]:
        parent.apply(chain.runtime.execute(parent, earlier))
    good = chain.blocks[-1]
    data, runtime = good.encode(), Runtime(chain.genesis)
    for _ in range(600):
        flipped = bytearray(data)
        flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
        try:
            altered = block.decode(bytes(flipped))
            runtime.execute(parent, altered)
        except (MalformedError, InvalidBlockError):
            continue
        assert altered.header.first_proposer != good.header.first_proposer


@pytest.mark.parametrize("evidence", [b"", b"\x80", b"\x82\x41\x00\x41\x01", bytes(500)])
def test_junk_offered_as_evidence_is_left_out(evidence: bytes) -> None:
    chain = make_chain()
    chain.block(evidence=[evidence] * 40)
    assert list(chain.blocks[-1].evidence) == []


CHAIN = make_chain()
