"""The same faults, with the real runtime behind the core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ledger import block
from ledger.authority import AuthoritySet
from ledger.consensus.machine import Machine
from ledger.genesis import Role
from ledger.simulation.node import EPOCH_MS
from ledger.simulation.runtime import Executed
from ledger.simulation.schedule import Habit, Schedule, calm, sample
from ledger.simulation.world import World, run
from tests.ledger.chain_kit import Chain, make_genesis

SEEDS = 12
TRANSFERS = 5


def applications() -> Callable[[AuthoritySet], Executed]:
    """Return a factory of nodes' ledgers with a few transfers to do."""
    genesis, people = make_genesis()
    accounts = tuple(account for account in genesis.accounts if Role.AUTHORITY not in account.roles)

    def create(authorities: AuthoritySet) -> Executed:
        changed = replace(genesis, time_ms=EPOCH_MS - 60_000, authorities=authorities, accounts=accounts)
        people["user0"].nonce = 0
        chain = Chain(changed, people)
        return Executed(
            changed, [chain.sign("user0", "money", "transfer", people["user1"].id, 5) for _ in range(TRANSFERS)]
        )

    return create


def busy(seed: int) -> Schedule:
    """Return a schedule with a second of faults: executing takes its time."""
    return replace(sample(seed), faulty_ms=2_000)


def test_the_real_runtime_comes_to_the_same_root_everywhere_whatever_fails() -> None:
    for seed in range(SEEDS):
        assert run(busy(seed), applications()).height >= 1


def test_every_transfer_and_what_a_byzantine_authority_signed_twice_go_on_chain_once() -> None:
    schedule = replace(calm(3), habits={2: frozenset({Habit.EQUIVOCATE})}, faulty_ms=4_000)
    world = World(schedule, applications(), Machine)
    world.run()
    blocks = [block.decode(raw) for raw, _ in world.correct[0].disk.chain]
    assert sum(len(one.transactions) for one in blocks) == TRANSFERS
    evidence = [item for one in blocks for item in one.evidence]
    assert evidence
    assert len(set(evidence)) == len(evidence)
