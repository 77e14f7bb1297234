"""Every reason for a vote for nil, reached by the events that bring it about."""

from __future__ import annotations

import pytest

from ledger.consensus import effects as do
from ledger.consensus.messages import Vote
from ledger.node.reporting.nils import Nil, NilReason, explain
from tests.ledger.consensus.scenario import Stage, block_id

BEGIN = ("start 1", "work", "timeout new 0")
LOCKED_ON_A = (*BEGIN, "proposal 0 A", "valid A", "prevote 0 A from 1 2", "timeout precommit 0")
REASONS = {
    NilReason.NO_PROPOSAL: (("timeout propose 0",), "no proposal of authority-1 came in time"),
    NilReason.NO_BLOCK: (("proposal 0 B", "timeout propose 0"), "did not come in time"),
    NilReason.NOT_EXECUTED: (("proposal 0 A", "timeout propose 0"), "still being executed"),
    NilReason.INVALID_BLOCK: (("proposal 0 A", "invalid A"), "is invalid here: wrong_result: another state_root"),
    NilReason.UNTIMELY: (("proposal 0 A", "valid A aged 4000"), "came 4000 ms after the time that it bears"),
    NilReason.NIL_QUORUM: (("timeout propose 0", "prevote 0 nil from 1 2"), "3 authorities prevoted nil"),
    NilReason.NO_QUORUM: (
        ("timeout propose 0", "prevote 0 A from 1", "prevote 0 nil from 2", "timeout prevote 0"),
        "no value has 3 prevotes: 1 for block 559aead08264d579, 2 for nil, none came from authority-3",
    ),
    NilReason.UNUSABLE_QUORUM: (
        ("timeout propose 0", "prevote 0 A from 1 2 3", "invalid A", "timeout prevote 0"),
        "for which a quorum prevoted, is invalid here: wrong_result",
    ),
}  # fmt: skip


def last_nil(*lines: str) -> Nil:
    """Return why the last vote that *lines* bring about is nil; block B never comes."""
    stage, nils = Stage(), []
    for line in lines:
        casts = [effect.statement for effect in map_events(stage, line) if isinstance(effect, do.Cast)]
        for vote in casts:
            if isinstance(vote, Vote) and vote.block_id is None:
                assert stage.machine.state is not None
                faults = {block_id("A"): "wrong_result: another state_root"}
                nils.append(explain(stage.machine.state, vote, stage.now_ms, faults, {block_id("B")}))
    return nils[-1]


def map_events(stage: Stage, line: str) -> list[do.Effect]:
    verb, *words = line.split()
    return [effect for event in getattr(stage, f"_{verb}")(words) or () for effect in stage.run(event)]


@pytest.mark.parametrize("reason", REASONS)
def test_a_nil_is_explained_by_what_led_to_it(reason: NilReason) -> None:
    lines, words = REASONS[reason]
    nil = last_nil(*BEGIN, *lines)
    assert (nil.height, nil.round, nil.reason) == (1, 0, reason)
    assert words in nil.text


def test_a_proposal_from_the_future_is_told_from_a_late_one() -> None:
    nil = last_nil(*BEGIN, "proposal 0 A", "valid A aged -2000")
    assert (nil.reason, "a time 2000 ms ahead of this node's clock" in nil.text) == (NilReason.UNTIMELY, True)


def test_a_lock_and_a_proposal_without_its_prevotes_are_told() -> None:
    nil = last_nil(*LOCKED_ON_A, "proposal 1 B", "valid B")
    assert (nil.round, nil.reason) == (1, NilReason.LOCKED)
    assert "locked on another block since round 0" in nil.text
    nil = last_nil(*BEGIN, "timeout propose 0", "precommit 0 nil from 1 2 3", "timeout precommit 0",
                   "proposal 1 A valid 0", "valid A", "timeout propose 1")  # fmt: skip
    assert (nil.round, nil.reason) == (1, NilReason.UNSUPPORTED)
    assert "the prevotes of round 0 on which it rests" in nil.text


def test_every_reason_is_reached() -> None:
    assert {*REASONS, NilReason.LOCKED, NilReason.UNSUPPORTED} == set(NilReason)
