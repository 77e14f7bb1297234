"""Whole networks under faults, a seed each; the witness checks after every event (ledger/simulation/witness.py)."""

from __future__ import annotations

from collections import Counter

import pytest

from ledger.simulation.batch import Report, run_seeds
from ledger.simulation.sampling import calm, sample
from ledger.simulation.twins import PROCESSES, ROUNDS, two_rounds
from ledger.simulation.world import run

SCHEDULES = 2_000
SWARMS = 4
TWINS = ROUNDS**2
TWIN_PARTS = 4
PATIENCE_S = 300
"""For what takes ten seconds of one core: the machine may have other work."""
BLACKOUTS = 30
POWER_CUTS = 160
"""At so many instants, between two effects or inside one, a run of a few heights has its power cut."""
FAULTS = {
    "lost", "duplicated", "delayed", "cut off", "cut off one way", "disk full", "slow sync", "blackout", "wiped",
    "torn commit", "commit nobody was told of", "old backup", "lost rename",
    "clock offset", "clock drift", "clock stepped back", "joined by blocks", "joined by snapshot",
    "authority: add", "authority: remove", "authority: rotate",
    "silent", "twin", "equivocate", "forget_locks", "lie", "flood", "corrupt", "replay", "selective", "bad_block",
}  # fmt: skip


def require_whole(report: Report) -> None:
    assert report.violations == {}
    assert report.gaps() == []


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("part", range(SWARMS))
def test_no_schedule_of_faults_breaks_a_promise_and_every_rule_and_every_fault_comes_up(part: int) -> None:
    count = SCHEDULES // SWARMS
    report = run_seeds("swarm", range(part * count, (part + 1) * count))
    require_whole(report)
    assert {kind for kind, times in report.faults.items() if times} >= FAULTS, FAULTS - set(report.faults)


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("part", range(TWIN_PARTS))
def test_no_two_rounds_of_leaders_and_partitions_let_a_twin_fork_the_chain(part: int) -> None:
    count = TWINS // TWIN_PARTS
    report = run_seeds("twins", range(part * count, (part + 1) * count))
    require_whole(report)
    assert report.heights_decided == count


def test_the_twins_schedules_are_all_there_is_of_two_rounds() -> None:
    assert TWINS == 4_096
    schedules = {two_rounds(number).rounds for number in range(TWINS)}
    assert len(schedules) == TWINS
    rounds = {round_ for pair in schedules for round_ in pair}
    sides = {round_.side for round_ in rounds}
    assert len(sides) == 2 ** (len(PROCESSES) - 1)
    assert not any(frozenset(PROCESSES) - side in sides for side in sides), "a partition and its mirror are one"
    assert {round_.leader for round_ in rounds} == {0, 1, 2, 3}


def test_the_set_of_authorities_changes_in_mid_run_and_nothing_stops() -> None:
    report = run_seeds("membership", range(100))
    require_whole(report)
    assert all(report.faults[f"authority: {kind}"] for kind in ("add", "remove", "rotate"))


def test_a_seed_always_gives_the_same_run() -> None:
    assert run(sample(7)) == run(sample(7))


def test_a_node_killed_at_any_instant_contradicts_nothing_and_catches_up() -> None:
    report = run_seeds("crash", range(POWER_CUTS))
    require_whole(report)
    assert report.coverage["crash"] == POWER_CUTS


def test_a_blackout_at_any_instant_loses_no_block_that_anyone_may_have_locked() -> None:
    coverage: Counter[str] = Counter()
    for number in range(BLACKOUTS):
        coverage += run(calm(number, blackout_ms=400 + 7 * number)).coverage
    assert coverage["crash"] == 4 * BLACKOUTS
    assert coverage["crash while locked"] > 0
