"""Authorities that break the rules: each has some of `schedule.Habit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.height import Lock
from ledger.consensus.messages import FRESH, Message, Proposal, Statement, Vote
from ledger.consensus.status import Status
from ledger.envelope import Kind
from ledger.simulation.application import Candidate
from ledger.simulation.frames import Frame, MessageFrame, StatusFrame
from ledger.simulation.node import Identity, Node
from ledger.simulation.schedule import Habit
from ledger.simulation.surroundings import Surroundings

TWIN_TURN_MS: Final = 1_500
FLOOD_ROUNDS: Final = 12
MAX_REMEMBERED: Final = 200


class Twin(Node):
    """One of two copies of a node that share a key; each talks to the peers that the other does not talk to."""

    def __init__(self, world: Surroundings, identity: Identity, side: int) -> None:
        super().__init__(world, identity)
        self._side = side

    def receive(self, source: str, frame: Frame) -> None:
        """Take in what does not come from the other copy, or speak of it."""
        message = self.world.decode(frame.raw, self.sets) if isinstance(frame, MessageFrame) else None
        if message is None or not self.is_own(message):
            super().receive(source, frame)

    def clock_ms(self) -> int:
        """Return a time that is not quite the other copy's: so their blocks differ, whenever they build them."""
        return super().clock_ms() + self._side

    def is_own(self, message: Message) -> bool:
        """Tell whether the other copy said it."""
        own = {key.public_key for key in self.keys}
        return self.sets[message.statement.height].members[message.sender].vote_key in own

    def _send(self, target: str, frame: Frame) -> None:
        member, schedule = self.world.network.receivers[target].member, self.world.schedule
        side = (member + self.world.timeline.now_ms // TWIN_TURN_MS) % 2
        if side == self._side or schedule.rounds:
            super()._send(target, frame)


class ByzantineNode(Node):
    """A node that follows the protocol just so far as its habits let it."""

    def __init__(self, world: Surroundings, identity: Identity, habits: frozenset[Habit]) -> None:
        super().__init__(world, identity)
        self._habits = habits
        self._remembered: list[bytes] = []
        self._values: list[bytes] = []

    def receive(self, source: str, frame: Frame) -> None:
        """Take in a frame and remember it, to use it against its sender."""
        if isinstance(frame, MessageFrame):
            message = self.world.decode(frame.raw, self.sets)
            if message is not None and message.sender == self.index:
                return
            self._remember(message)
        super().receive(source, frame)

    def publish(self, message: Message) -> None:
        """Send an own message, or one that contradicts it, to those who shall believe it."""
        rivals = [message]
        if Habit.EQUIVOCATE in self._habits and self._happens(70):
            rivals.append(self._contradict(message))
            self._count(Habit.EQUIVOCATE)
        if Habit.LIE in self._habits and isinstance(message.statement, Proposal) and message.statement.round:
            rivals = [self._claim_support(message.statement)]
        for name in self.world.network.receivers:
            if name != self.name and not (Habit.SELECTIVE in self._habits and self._happens(50)):
                self._send(name, self.frame_of(self.world.random.choice(rivals)))

    def report(self, status: Status) -> None:
        """Tell where this node stands; a liar tells those who forgot where they stood that all are at height 1."""
        if Habit.LIE not in self._habits:
            super().report(status)
            return
        for name, receiver in self.world.network.receivers.items():
            if name != self.name:
                told = replace(status, height=1) if receiver.observes else status
                self._send(name, StatusFrame(told, self.world.timeline.now_ms))

    def make_block(self, effect: do.BuildBlock) -> Candidate:
        """Return a block, valid or not."""
        candidate = super().make_block(effect)
        is_bad = Habit.BAD_BLOCK in self._habits and self._happens(50)
        if is_bad:
            self._count(Habit.BAD_BLOCK)
        return self.application.sabotage(candidate) if is_bad else candidate

    def is_acceptable(self, height: int, raw: bytes) -> bool:
        """Find good what nobody else would."""
        return Habit.BAD_BLOCK in self._habits or super().is_acceptable(height, raw)

    def _handle(self, event: ev.Event, perform: bool) -> None:
        at = self.machine.state if self.machine is not None else None
        if at is not None and Habit.FORGET_LOCKS in self._habits and at.locked.block_id is not None:
            at.locked = at.valid = Lock()
            self._count(Habit.FORGET_LOCKS)
        super()._handle(event, perform)

    def _tick(self) -> None:
        super()._tick()
        for habit, act in ((Habit.LIE, self._lie), (Habit.FLOOD, self._flood), (Habit.CORRUPT, self._corrupt)):
            if habit in self._habits:
                act()
                self._count(habit)
        if Habit.REPLAY in self._habits and self._remembered:
            self._send_anywhere(MessageFrame(self.world.random.choice(self._remembered), Kind.PREVOTE, 0))
            self._count(Habit.REPLAY)

    def _contradict(self, message: Message) -> Message:
        statement = message.statement
        if isinstance(statement, Proposal):
            at = self.machine.state if self.machine is not None else None
            last_commit = at.last_commit if at is not None else None
            rival = self.application.build(statement.height, self.clock_ms() + 1, self.index or 0, last_commit, ())
            self._bodies[rival.block_id] = rival.raw
            return self._sign(Proposal(statement.height, statement.round, statement.valid_round, rival.block_id))
        others = [value for value in (None, *self._values) if value != statement.block_id]
        if not others:
            return message
        return self._sign(Vote(statement.kind, statement.height, statement.round, self.world.random.choice(others)))

    def _claim_support(self, proposal: Proposal) -> Message:
        """Return the proposal as if the round before had had Q prevotes for it."""
        return self._sign(Proposal(proposal.height, proposal.round, proposal.round - 1, proposal.block_id))

    def _lie(self) -> None:
        random, at = self.world.random, self.machine.state if self.machine is not None else None
        if at is None:
            return
        height = max(1, at.number + random.choice([-1, 0, 0, 0, 1]))
        round_ = max(0, at.round + random.choice([-1, 0, 0, 1]))
        for kind in (Kind.PREVOTE, Kind.PRECOMMIT):
            vote = Vote(kind, height, round_, random.choice([None, *self._values]))
            self._send_anywhere(self.frame_of(self._sign(vote)))
        if self._values:
            proposal = Proposal(height, round_, random.randint(FRESH, round_ - 1), random.choice(self._values))
            self._send_anywhere(self.frame_of(self._sign(proposal)))

    def _flood(self) -> None:
        at = self.machine.state if self.machine is not None else None
        for number in range(FLOOD_ROUNDS if at is not None else 0):
            round_ = at.round + number if at is not None else number
            self._send_anywhere(self.frame_of(self._sign(Vote(Kind.PREVOTE, self.disk.height, round_, None))))

    def _corrupt(self) -> None:
        if self._remembered:
            raw = bytearray(self.world.random.choice(self._remembered))
            raw[self.world.random.randrange(len(raw))] ^= 1 << self.world.random.randrange(8)
            self._send_anywhere(MessageFrame(bytes(raw), Kind.PREVOTE, 0))

    def _remember(self, message: Message | None) -> None:
        if message is None or len(self._remembered) >= MAX_REMEMBERED:
            return
        self._remembered.append(message.raw)
        if message.statement.block_id is not None and message.statement.block_id not in self._values[-3:]:
            self._values = [*self._values[-3:], message.statement.block_id]

    def _sign(self, statement: Statement) -> Message:
        message = self.world.signatures.sign(statement, self.index or 0, self.key)
        self.world.witness.signed(self, message)
        return message

    def _send_anywhere(self, frame: Frame) -> None:
        self._send(self.world.random.choice(sorted(self.world.network.receivers)), frame)

    def _count(self, habit: Habit) -> None:
        self.world.network.faults[habit.value] += 1

    def _happens(self, percent: int) -> bool:
        return self.world.random.randrange(100) < percent
