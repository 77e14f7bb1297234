"""One run: nodes, network and faults of a schedule, until everything that must be decided is, or a promise breaks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from ledger.authority import Authority, AuthoritySet
from ledger.consensus.machine import Machine
from ledger.consensus.messages import Message, Refusal, decode
from ledger.consensus.status import Status, decode_status
from ledger.consensus.timing import Timing
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.simulation.application import Application, ApplicationFactory, Chained
from ledger.simulation.byzantine import ByzantineNode, Twin
from ledger.simulation.network import Network, Timeline
from ledger.simulation.node import Identity, Node, PowerCut
from ledger.simulation.schedule import Habit, Schedule
from ledger.simulation.witness import Violation, Witness

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


class World:
    """Everything in one run."""

    def __init__(
        self,
        schedule: Schedule,
        make_application: ApplicationFactory,
        make_machine: Callable[[bytes, Timing], Machine],
    ) -> None:
        self.schedule = schedule
        self.make_machine = make_machine
        self.random = Random(f"run {schedule.seed}")
        self.timeline = Timeline()
        self.network = Network(schedule, self.timeline, self.random)
        self._make_application = make_application
        self._last_status: tuple[bytes, Status] | None = None
        self._verified: dict[bytes, tuple[Message, AuthoritySet]] = {}
        keys = [PrivateKey(hashlib.sha256(b"vote %d" % index).digest()) for index in range(schedule.count)]
        self.authorities = AuthoritySet(tuple(_authority(index, key) for index, key in enumerate(keys)))
        self.chain_id = make_application(self.authorities).chain_id
        correct = {str(index) for index in range(schedule.count) if index not in schedule.habits}
        self.witness = Witness(self.authorities, self.chain_id, correct, set(schedule.habits))
        self.nodes = [node for index, key in enumerate(keys) for node in self._nodes(index, key)]
        self.correct = [node for node in self.nodes if node.name in correct]

    def new_application(self) -> Application:
        """Return an application in its genesis state."""
        return self._make_application(self.authorities)

    def decode(self, raw: bytes, sets: Mapping[int, AuthoritySet]) -> Message | None:
        """Return the message in *raw*, or None; what one node has verified the others need not verify again."""
        known = self._verified.get(raw)
        if known is not None and sets.get(known[0].statement.height) == known[1]:
            return known[0]
        try:
            message = decode(raw, sets, self.chain_id)
        except MalformedError:
            return None
        if isinstance(message, Refusal):
            return None
        self._verified[raw] = message, sets[message.statement.height]
        return message

    def read_status(self, raw: bytes) -> Status:
        """Return the report in *raw*, which all peers get at once and one need read."""
        if self._last_status is None or self._last_status[0] != raw:
            self._last_status = raw, decode_status(raw)
        return self._last_status[1]

    def maybe_cut_power(self, node: Node) -> None:
        """Cut *node*'s power here, now and then."""
        node.opportunities += 1
        is_now = self.schedule.crash_at == (node.index, node.opportunities)
        chance = 0 if self.network.is_healed else self.schedule.crash_permille
        if is_now or (chance and self.random.randrange(1_000) < chance):
            raise PowerCut(node.name)

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


def _authority(index: int, key: PrivateKey) -> Authority:
    others = [hashlib.sha256(b"%d" % number + key.public_key).digest() for number in range(2)]
    return Authority(bytes(7) + bytes([index]), f"authority-{index}", key.public_key, *others)
