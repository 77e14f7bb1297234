"""With more than f Byzantine authorities the chain can fork, and then it is known who did it."""

from __future__ import annotations

from collections import Counter

import pytest

from ledger.consensus.messages import Message, Vote, VoteKind
from ledger.envelope import Kind
from ledger.simulation.forensics import accuse, find_fork, overrun

SEEDS = 300
QUORUM = 3
A, B = (letter * 32 for letter in (b"A", b"B"))


def test_a_fork_names_more_culprits_than_the_set_bears_and_no_correct_authority() -> None:
    forks: Counter[bool] = Counter()
    for seed in range(SEEDS):
        schedule = overrun(seed)
        fork = find_fork(schedule)
        if fork is not None:
            culprits = accuse(fork.messages, fork.quorum)
            assert culprits <= set(schedule.habits), f"seed {seed} names somebody correct"
            assert len(culprits) > (schedule.count - 1) // 3, f"seed {seed} names too few"
            forks[fork.rounds[0] == fork.rounds[1]] += 1
    assert forks[True] >= 10, "forks in one round"
    assert forks[False] >= 3, "forks across rounds"


def said(kind: VoteKind, round_: int, value: bytes | None, *senders: int) -> list[Message]:
    return [Message(Vote(kind, 1, round_, value), sender, bytes([kind, round_, sender])) for sender in senders]


@pytest.mark.parametrize(
    ("evidence", "culprits"),
    [
        (said(Kind.PREVOTE, 1, B, 0), {0}),
        (said(Kind.PREVOTE, 1, None, 0) + said(Kind.PREVOTE, 1, A, 0), {0}),
        (said(Kind.PREVOTE, 1, None, 0), set()),
        (said(Kind.PREVOTE, 1, A, 0), set()),
        (said(Kind.PREVOTE, 2, B, 0) + said(Kind.PREVOTE, 1, B, 1, 2), {0}),
        (said(Kind.PREVOTE, 2, B, 0) + said(Kind.PREVOTE, 1, B, 1, 2, 3), set()),
        (said(Kind.PREVOTE, 2, B, 0) + said(Kind.PREVOTE, 2, B, 1, 2, 3), {0}),
    ],
)
def test_who_let_go_of_a_lock_must_have_been_shown_why(evidence: list[Message], culprits: set[int]) -> None:
    assert accuse([*said(Kind.PRECOMMIT, 0, A, 0), *evidence], QUORUM) == culprits
