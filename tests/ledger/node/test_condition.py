"""Which votes a report shows, and which it lacks."""

from __future__ import annotations

from ledger.api.condition import MISSING, NIL
from ledger.consensus.effects import Step
from ledger.consensus.status import Status
from ledger.envelope import Kind
from ledger.node.reporting.condition import find_vote, list_lacking
from tests.ledger.consensus.scenario import authorities

MEMBERS = authorities(4)
VOTES = (
    ((0, int(Kind.PREVOTE), b"a" * 32), (2,)),
    ((1, int(Kind.PREVOTE), b"b" * 32), (0, 3)),
    ((1, int(Kind.PREVOTE), None), (1,)),
    ((1, int(Kind.PRECOMMIT), None), (1, 99)),
)


def lacking(step: Step, kind: Kind) -> list[str]:
    return list(list_lacking(Status(7, 1, step, frozenset(), VOTES), kind, MEMBERS))


def test_votes_of_the_reports_own_round_are_shown() -> None:
    status = Status(7, 1, Step.PREVOTE, frozenset(), VOTES)
    shown = [find_vote(status, Kind.PREVOTE, place) for place in range(4)]
    assert shown == ["62" * 32, NIL, MISSING, "62" * 32]
    assert find_vote(None, Kind.PREVOTE, 0) == MISSING


def test_a_vote_is_lacked_once_its_step_has_come() -> None:
    assert lacking(Step.PROPOSE, Kind.PREVOTE) == []
    assert lacking(Step.PREVOTE, Kind.PREVOTE) == ["authority-2"]
    assert lacking(Step.PREVOTE, Kind.PRECOMMIT) == []
    assert lacking(Step.PRECOMMIT, Kind.PRECOMMIT) == ["authority-0", "authority-2", "authority-3"]
    assert list(list_lacking(None, Kind.PREVOTE, MEMBERS)) == []
