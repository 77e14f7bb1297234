"""The same faults, with the real runtime and real signatures behind the core."""

from __future__ import annotations

from dataclasses import replace

from ledger import block
from ledger.simulation.batch import run_seeds
from ledger.simulation.ideal import Real
from ledger.simulation.runtime import Executed
from ledger.simulation.sampling import calm
from ledger.simulation.schedule import Change, Habit, SetChange
from ledger.simulation.surroundings import membership_of
from ledger.simulation.workload import make_workload
from ledger.simulation.world import World

SEEDS = 16


def test_the_real_runtime_comes_to_the_same_roots_everywhere_and_all_that_was_offered_is_final_once() -> None:
    report = run_seeds("runtime", range(SEEDS))
    assert report.violations == {}
    assert report.gaps() == []
    assert report.heights_decided >= SEEDS


def test_what_a_byzantine_authority_signed_twice_goes_on_chain_once() -> None:
    schedule = replace(calm(3), habits={2: frozenset({Habit.EQUIVOCATE})}, faulty_ms=4_000)
    workload = make_workload(membership_of(schedule))
    world = World(schedule, lambda _: Executed(workload), make_signatures=Real)
    world.run()
    blocks = [block.decode(raw) for raw, _ in world.correct[0].disk.chain]
    assert sum(len(one.transactions) for one in blocks) == len(workload.offers)
    evidence = [item for one in blocks for item in one.evidence]
    assert evidence
    assert len(set(evidence)) == len(evidence)


def test_the_whole_way_from_order_to_settlement_and_a_rotated_key_where_nothing_goes_wrong() -> None:
    schedule = replace(calm(4), faulty_ms=4_000, change=SetChange(Change.ROTATE, 1, 0, by_snapshot=False))
    workload = make_workload(membership_of(schedule))
    world = World(schedule, lambda _: Executed(workload), make_signatures=Real)
    world.run()
    held = world.correct[0].application
    assert isinstance(held, Executed)
    assert sum(held.done.values()) - held.done["settlement line"] == len(workload.offers)
    assert held.done["settlement line"] >= 4
    assert world.witness.coverage["decided under a changed set"] > 0
