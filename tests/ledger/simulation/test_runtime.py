"""The same faults, with the real runtime and real signatures behind the core."""

from __future__ import annotations

from dataclasses import replace

from ledger import block
from ledger.simulation.batch import run_seeds
from ledger.simulation.ideal import Real
from ledger.simulation.runtime import TRANSFERS, with_transfers
from ledger.simulation.sampling import calm
from ledger.simulation.schedule import Habit
from ledger.simulation.surroundings import membership_of
from ledger.simulation.world import World

SEEDS = 30


def test_the_real_runtime_comes_to_the_same_roots_everywhere_and_every_transfer_is_final_once() -> None:
    report = run_seeds("runtime", range(SEEDS))
    assert report.violations == {}
    assert report.heights_decided >= SEEDS


def test_what_a_byzantine_authority_signed_twice_goes_on_chain_once() -> None:
    schedule = replace(calm(3), habits={2: frozenset({Habit.EQUIVOCATE})}, faulty_ms=4_000)
    world = World(schedule, with_transfers(membership_of(schedule).genesis), make_signatures=Real)
    world.run()
    blocks = [block.decode(raw) for raw, _ in world.correct[0].disk.chain]
    assert sum(len(one.transactions) for one in blocks) == TRANSFERS
    evidence = [item for one in blocks for item in one.evidence]
    assert evidence
    assert len(set(evidence)) == len(evidence)
