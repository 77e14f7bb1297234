"""One run: nodes, network and faults of a schedule, until everything that must be decided is, or a promise breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.consensus.machine import Machine
from ledger.consensus.timing import Timing
from ledger.keys import PrivateKey
from ledger.simulation.application import ApplicationFactory, Chained
from ledger.simulation.byzantine import ByzantineNode, Twin
from ledger.simulation.node import Identity, Node
from ledger.simulation.schedule import Habit, Schedule
from ledger.simulation.surroundings import Surroundings
from ledger.simulation.witness import Violation

HEIGHTS_AFTER_HEALING: Final = 2
PATIENCE_MS: Final = 180_000
"""So long after healing every correct node has decided, or the run fails."""
START_SPREAD_MS: Final = 300
WIPE_AT_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that broke nothing came to: heights decided, when, and how often each rule fired."""

    seed: int
    height: int
    ended_ms: int
    coverage: Counter[str]


def run(
    schedule: Schedule,
    make_application: ApplicationFactory = Chained,
    make_machine: Callable[[bytes, Timing], Machine] = Machine,
) -> Outcome:
    """Run *schedule* to its end; raises Violation, whose text names the seed.

    *make_machine* is there to show that a wrong core is caught.
    """
    world = World(schedule, make_application, make_machine)
    try:
        world.run()
    except Violation as violation:
        raise Violation(f"seed {schedule.seed} at {world.timeline.now_ms} ms: {violation}") from violation
    return Outcome(schedule.seed, max(world.witness.chain), world.timeline.now_ms, world.witness.coverage)


class World(Surroundings):
    """Everything in one run."""

    def __init__(
        self,
        schedule: Schedule,
        make_application: ApplicationFactory,
        make_machine: Callable[[bytes, Timing], Machine],
    ) -> None:
        super().__init__(schedule, make_application, make_machine)
        self.nodes = [node for index, key in enumerate(self.keys) for node in self._nodes(index, key)]
        self.correct = [node for node in self.nodes if node.index not in schedule.habits]

    def run(self) -> None:
        """Let things go wrong, then heal, then see that every correct node goes on deciding."""
        for node in self.nodes:
            self.network.plug_in(node)
            self.timeline.after(self.random.randrange(START_SPREAD_MS), node.start)
        if self.schedule.wiped is not None:
            self.timeline.after(WIPE_AT_MS, lambda: self._wipe(str(self.schedule.wiped)))
        if self.schedule.blackout_ms is not None:
            self.timeline.after(self.schedule.blackout_ms, self._black_out)
        while not self.network.is_healed:
            self.timeline.step()
        goal = max([0, *self.witness.chain]) + HEIGHTS_AFTER_HEALING
        while any(node.disk.height <= goal for node in self.correct):
            self.timeline.step()
            if self.timeline.now_ms > self.schedule.faulty_ms + PATIENCE_MS:
                heights = {node.name: node.disk.height for node in self.correct}
                raise Violation(f"not every correct node decided height {goal}: in progress are {heights}")

    def _wipe(self, name: str) -> None:
        node = next(node for node in self.nodes if node.name == name)
        node.wipe()
        if node.machine is not None:
            node.crash()

    def _black_out(self) -> None:
        for node in self.nodes:
            if node.machine is not None:
                node.crash()

    def _nodes(self, index: int, key: PrivateKey) -> list[Node]:
        habits = self.schedule.habits.get(index, frozenset())
        identity = Identity(str(index), index, key)
        if Habit.SILENT in habits:
            return []
        if Habit.TWIN in habits:
            return [Twin(self, identity, 0), Twin(self, Identity(f"{index}'", index, key), 1)]
        return [ByzantineNode(self, identity, habits) if habits else Node(self, identity)]
