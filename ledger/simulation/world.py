"""One run: nodes, network and faults of a schedule, until everything that must be decided is, or a promise breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.consensus.machine import Machine
from ledger.simulation.application import ApplicationFactory, Chained
from ledger.simulation.byzantine import ByzantineNode, Twin
from ledger.simulation.disk import Disk
from ledger.simulation.ideal import Ideal
from ledger.simulation.node import Identity, Node
from ledger.simulation.schedule import Change, Habit, Schedule
from ledger.simulation.surroundings import MachineFactory, SignaturesFactory, Surroundings, keys_of
from ledger.simulation.witness import Violation

HEIGHTS_AFTER_HEALING: Final = 1
ROUNDS_AFTER_HEALING: Final = 40
PATIENCE_MS: Final = 180_000
"""So long after healing every correct node has decided, or the run fails."""
START_SPREAD_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that broke nothing came to: heights decided, when, how often each rule fired and each fault struck."""

    seed: int
    height: int
    ended_ms: int
    max_round: int
    coverage: Counter[str]
    faults: Counter[str]


def run(
    schedule: Schedule,
    make_application: ApplicationFactory = Chained,
    make_machine: MachineFactory = Machine,
    make_signatures: SignaturesFactory = Ideal,
    at_the_end: Callable[[Sequence[Node]], None] = lambda _: None,
) -> Outcome:
    """Run *schedule* to its end; raises Violation, whose text names the seed.

    *make_machine* is there to show that a wrong core is caught; *at_the_end* looks at the correct nodes.
    """
    world = World(schedule, make_application, make_machine, make_signatures)
    try:
        world.run()
        at_the_end(world.correct)
    except Violation as violation:
        raise Violation(f"seed {schedule.seed} at {world.timeline.now_ms} ms: {violation}") from violation
    witness = world.witness
    return Outcome(
        schedule.seed,
        max(witness.chain),
        world.timeline.now_ms,
        witness.max_round,
        witness.coverage,
        world.network.faults,
    )


class World(Surroundings):
    """Everything in one run."""

    def __init__(
        self,
        schedule: Schedule,
        make_application: ApplicationFactory = Chained,
        make_machine: MachineFactory = Machine,
        make_signatures: SignaturesFactory = Ideal,
    ) -> None:
        super().__init__(schedule, make_application, make_machine, make_signatures)
        self.nodes = [node for member in range(schedule.count) for node in self._nodes(member)]
        if schedule.change is not None and schedule.change.change is Change.ADD:
            self.nodes += self._nodes(schedule.count)
        self.correct = [node for node in self.nodes if node.member not in schedule.habits]

    def run(self) -> None:
        """Let things go wrong, then heal, then see that every correct node goes on deciding."""
        self._plan()
        timeline, schedule = self.timeline, self.schedule
        if not schedule.rounds:
            while not self.network.is_healed:
                timeline.step()
        goal = max([0, *self.witness.chain]) + HEIGHTS_AFTER_HEALING
        healed_at_round, self.witness.max_round = self.witness.max_round, 0
        behind = self._find_behind(goal)
        while behind is not None:
            timeline.step()
            if timeline.now_ms > schedule.faulty_ms + PATIENCE_MS:
                heights = {node.name: node.disk.height for node in self.correct}
                raise Violation(f"not every correct node decided height {goal}: in progress are {heights}")
            if behind.disk.height > goal:
                behind = self._find_behind(goal)
        if self.witness.max_round > healed_at_round + ROUNDS_AFTER_HEALING:
            raise Violation(f"height {goal} took until round {self.witness.max_round} after healing")
        self.witness.max_round = max(healed_at_round, self.witness.max_round)

    def _find_behind(self, goal: int) -> Node | None:
        """Return a correct node that has not decided height *goal*: while it has not, no other need be looked at."""
        return next((node for node in self.correct if node.disk.height <= goal), None)

    def _plan(self) -> None:
        schedule, timeline = self.schedule, self.timeline
        for node in self.nodes:
            self.network.plug_in(node)
            if node.member < schedule.count:
                timeline.after(0 if schedule.rounds else self.random.randrange(START_SPREAD_MS), node.start)
            elif schedule.change is not None:
                timeline.after(schedule.change.joins_ms, self._join, node, schedule.change.by_snapshot)
        if schedule.loss is not None:
            timeline.after(schedule.loss.backup_ms or 0, self._back_up, self._find(schedule.loss.member))
        if schedule.shortage is not None:
            disk_of = self._find(schedule.shortage.member)
            timeline.after(schedule.shortage.start_ms, self._set_full, disk_of, True)
            timeline.after(schedule.shortage.end_ms, self._set_full, disk_of, False)
        if schedule.blackout_ms is not None:
            timeline.after(schedule.blackout_ms, self._black_out)
        self._count_clocks()

    def _find(self, member: int) -> list[Node]:
        return [node for node in self.nodes if node.member == member]

    def _back_up(self, nodes: list[Node]) -> None:
        loss = self.schedule.loss
        for node in nodes if loss is not None else []:
            disk = node.disk.copy() if loss is not None and loss.backup_ms is not None else Disk()
            self.timeline.after(loss.at_ms - self.timeline.now_ms if loss else 0, self._lose_disk, node, disk)

    def _lose_disk(self, node: Node, disk: Disk) -> None:
        loss = self.schedule.loss
        if loss is not None and loss.is_undone:
            self.network.faults["lost rename"] += 1
            if node.machine is not None:
                node.crash()
            return
        self.network.faults["old backup" if loss is not None and loss.backup_ms is not None else "wiped"] += 1
        node.replace_disk(disk)

    def _set_full(self, nodes: list[Node], is_full: bool) -> None:
        for node in nodes:
            node.disk.is_full = is_full

    def _join(self, node: Node, by_snapshot: bool) -> None:
        source = max(self.correct, key=lambda one: len(one.disk.chain))
        self.network.faults["joined by snapshot" if by_snapshot else "joined by blocks"] += 1
        node.join(source, by_snapshot=by_snapshot)

    def _black_out(self) -> None:
        self.network.faults["blackout"] += 1
        for node in self.nodes:
            if node.machine is not None:
                node.crash()

    def _count_clocks(self) -> None:
        for clock in self.schedule.clocks:
            self.network.faults["clock offset"] += abs(clock.offset_ms) > 1_000
            self.network.faults["clock drift"] += clock.drift_ppm != 0
            self.network.faults["clock stepped back"] += clock.step_ms < 0
        if self.schedule.change is not None:
            self.network.faults[f"authority: {self.schedule.change.change.value}"] += 1
        for habits in self.schedule.habits.values():
            for habit in habits:
                self.network.faults[habit.value] += habit in (Habit.SILENT, Habit.TWIN, Habit.SELECTIVE)

    def _nodes(self, member: int) -> list[Node]:
        habits = self.schedule.habits.get(member, frozenset())
        keys = keys_of(member, self.schedule)
        identity = Identity(str(member), member, keys)
        if Habit.SILENT in habits:
            return []
        if Habit.TWIN in habits:
            return [Twin(self, identity, 0), Twin(self, Identity(f"{member}'", member, keys), 1)]
        return [ByzantineNode(self, identity, habits) if habits else Node(self, identity)]
