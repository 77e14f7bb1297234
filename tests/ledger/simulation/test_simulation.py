"""Whole networks under faults, a seed each; the witness checks after every event (ledger/simulation/witness.py)."""

from __future__ import annotations

from collections import Counter

import pytest

from ledger.consensus import events as ev
from ledger.consensus.height import Height, Lock
from ledger.consensus.machine import Machine
from ledger.simulation.application import Chained
from ledger.simulation.schedule import calm, sample
from ledger.simulation.witness import Violation
from ledger.simulation.world import run

SEEDS = 140
BLACKOUTS = 30
POWER_CUTS = 60
"""At so many instants, between two effects or inside one, a run of a few heights has its power cut."""
MUST_FIRE = {
    "BuildBlock", "Cast", "Decide", "EvidenceFound", "Record", "SendDecided", "SendTo", "SetTimer", "ValidateBlock",
    "crash", "crash while locked", "resumed while locked", "wiped", "observed",
    "decided after round 1", "decided by certificate", "late decide", "round skip", "round timeout",
    "locked into another round", "relock", "re-proposal", "evidence",
    "prevote block by rule", "prevote nil by rule", "prevote nil by timeout",
    "precommit block by rule", "precommit nil by rule", "precommit nil by timeout",
}  # fmt: skip


def test_no_schedule_of_faults_breaks_a_promise_and_every_rule_fires() -> None:
    coverage: Counter[str] = Counter()
    heights = 0
    for seed in range(SEEDS):
        outcome = run(sample(seed))
        coverage += outcome.coverage
        heights += outcome.height
    assert set(coverage) >= MUST_FIRE, MUST_FIRE - set(coverage)
    assert heights >= 3 * SEEDS


def test_a_seed_always_gives_the_same_run() -> None:
    assert run(sample(7)) == run(sample(7))


def test_a_node_killed_at_any_instant_contradicts_nothing_and_catches_up() -> None:
    for opportunity in range(1, POWER_CUTS + 1):
        outcome = run(calm(opportunity, crash_at=(1, opportunity)))
        assert outcome.coverage["crash"] == 1


def test_a_blackout_at_any_instant_loses_no_block_that_anyone_may_have_locked() -> None:
    coverage: Counter[str] = Counter()
    for number in range(BLACKOUTS):
        coverage += run(calm(number, blackout_ms=400 + 7 * number)).coverage
    assert coverage["crash"] == 4 * BLACKOUTS
    assert coverage["crash while locked"] > 0


class UnlocksEveryRound(Machine):
    def _start_round(self, round_: int, at: Height) -> None:
        at.locked = Lock()
        super()._start_round(round_, at)


class IgnoresItsLock(Machine):
    def _prevote_fresh(self, at: Height) -> bool:
        locked, at.locked = at.locked, Lock()
        has_fired = super()._prevote_fresh(at)
        at.locked = locked
        return has_fired


class ForgetsItsLockInACrash(Machine):
    def _start_height(self, event: ev.HeightStarted) -> None:
        super()._start_height(event)
        if self.state is not None:
            self.state.locked = self.state.valid = Lock()


class SendsOnlyToThoseBehind(Machine):
    def _answer_status(self, event: ev.StatusReceived, at: Height) -> None:
        status = event.status
        if (status.height, status.round, status.step) < (at.number, at.round, at.step):
            super()._answer_status(event, at)


@pytest.mark.parametrize(
    ("core", "promise"),
    [
        (UnlocksEveryRound, "lock"),
        (IgnoresItsLock, "prevote against the lock"),
        (ForgetsItsLockInACrash, "lock lies below"),
        (SendsOnlyToThoseBehind, "not every correct node decided"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_core_does_not_get_through(core: type[Machine], promise: str) -> None:
    with pytest.raises(Violation, match=promise):
        for seed in range(SEEDS):
            run(sample(seed), Chained, core)
