"""Promises of the core that no single scenario shows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.machine import HEIGHTS_AHEAD, Machine
from ledger.consensus.messages import FRESH, Proposal, Vote, sign
from ledger.consensus.status import REPORTED_ROUNDS
from ledger.envelope import Kind
from tests.ledger.consensus.scenario import CHAIN_ID, START_MS, Stage, authorities, block_id, key

BLOCKS = [bytes([number]) * 32 for number in range(3)]
MEMBERS = authorities(4)

heights = st.integers(1, 5)
rounds = st.one_of(st.integers(0, 4), st.integers(0, 2**31 - 1))
values = st.sampled_from(BLOCKS)
votes = st.builds(Vote, st.sampled_from([Kind.PREVOTE, Kind.PRECOMMIT]), heights, rounds, st.none() | values)
proposals = st.builds(
    lambda height, round_, back, value: Proposal(height, round_, max(FRESH, round_ - back), value),
    heights,
    rounds,
    st.integers(1, 3),
    values,
)
messages = st.builds(lambda one, sender: sign(one, CHAIN_ID, sender, key(sender)), votes | proposals, st.integers(0, 3))
timers = st.builds(do.Timer, heights, rounds, st.sampled_from(do.Step))
events = st.one_of(
    st.builds(ev.MessageReceived, messages),
    st.builds(ev.MessageSigned, messages),
    st.builds(ev.TimeoutFired, timers),
    st.builds(ev.WorkAvailable, heights),
    st.builds(ev.BlockBuilt, heights, rounds, values, st.integers(0, 2 * START_MS)),
    st.builds(ev.BlockValidated, heights, values, st.booleans(), st.integers(0, 2 * START_MS)),
    st.builds(
        ev.HeightStarted,
        heights,
        st.just(MEMBERS),
        st.none() | st.integers(0, 3),
        st.booleans(),
        st.just(0),
        st.none(),
        st.lists(messages, max_size=4).map(tuple),
    ),
)


@settings(max_examples=150)
@given(st.lists(events, max_size=40))
def test_no_sequence_of_events_makes_the_core_raise(sequence: list[ev.Event]) -> None:
    machine = Machine(CHAIN_ID)
    machine.handle(ev.HeightStarted(1, MEMBERS, 0, True, 0, None), START_MS)
    for event in sequence:
        machine.handle(event, START_MS)
        status = machine.status()
        assert status is not None
        machine.handle(ev.StatusReceived("peer", status), START_MS)


@settings(max_examples=100)
@given(st.lists(events, max_size=40))
def test_no_slot_is_cast_twice_within_a_life(sequence: list[ev.Event]) -> None:
    stage, cast = Stage(), set()
    stage.run(ev.HeightStarted(1, MEMBERS, 0, True, 0, None))
    for event in sequence:
        if isinstance(event, ev.MessageSigned):
            continue
        for effect in stage.run(event):
            if isinstance(effect, do.Cast):
                assert effect.statement.slot not in cast
                cast.add(effect.statement.slot)


def test_the_same_events_give_the_same_effects() -> None:
    lines = [
        "start 1",
        "work",
        "timeout new 0",
        "proposal 0 A",
        "valid A",
        "prevote 0 A from 1 2",
        "precommit 0 A from 1",
    ]
    first, second = Stage(), Stage()
    assert [first.play(line) for line in lines] == [second.play(line) for line in lines]


def test_a_peer_that_floods_far_rounds_and_heights_costs_a_few_messages() -> None:
    stage = Stage()
    stage.run(ev.HeightStarted(1, MEMBERS, 0, True, 0, None))
    for number in range(1, 2_000):
        for height in range(1, HEIGHTS_AHEAD + 4):
            vote = Vote(Kind.PREVOTE, height, number, BLOCKS[number % 3])
            stage.machine.handle(ev.MessageReceived(stage.sign(vote, 2)), START_MS)
    assert stage.machine.state is not None
    assert len(stage.machine.state.tally) == 1
    assert stage.recorded == []


def test_a_status_stays_small_however_many_rounds_pass() -> None:
    stage = Stage()
    stage.play("start 1")
    for round_ in range(200):
        stage.play(f"precommit {round_} nil from 1 2 3")
        stage.play(f"timeout precommit {round_}")
    status = stage.machine.status()
    assert status is not None
    assert status.round == 200
    assert len(status.votes) <= 4 * REPORTED_ROUNDS


def test_an_invalid_block_gets_nil_however_timely_it_is() -> None:
    stage = Stage()
    for line in ("start 1", "work", "timeout new 0", "proposal 0 A"):
        stage.play(line)
    (effect,) = stage.run(ev.BlockValidated(1, block_id("A"), False, START_MS))
    assert effect == do.Cast(Vote(Kind.PREVOTE, 1, 0, None))
