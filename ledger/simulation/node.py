"""A simulated node: the shell's duties (see `ledger.consensus.effects`) over a simulated disk, network and clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger.authority import AuthoritySet
from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.evidence import Evidence
from ledger.consensus.machine import HEIGHTS_AHEAD, Machine
from ledger.consensus.messages import Message, Proposal, sign
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.simulation.application import Application, Candidate
from ledger.simulation.disk import Disk
from ledger.simulation.frames import BlockFrame, DecidedFrame, FetchFrame, Frame, MessageFrame, StatusFrame
from ledger.simulation.surroundings import PowerCut, Surroundings

STATUS_MS: Final = 400
RESTART_MS: Final = 700
MAX_BODIES: Final = 64
MAX_EVIDENCE: Final = 4
EPOCH_MS: Final = 1_700_000_000_000
"""The wall clock at the start of every run."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is: its name on the network, its index in the set, its vote key."""

    name: str
    index: int
    key: PrivateKey


class Node:
    """A correct node."""

    def __init__(self, world: Surroundings, identity: Identity) -> None:
        self.world = world
        self.name, self.index, self.key = identity.name, identity.index, identity.key
        self.disk = Disk()
        self.life = 0
        self.machine: Machine | None = None
        self.application: Application = world.new_application()
        self._queue: deque[do.Effect] = deque()
        self._bodies: dict[bytes, bytes] = {}
        self._wanted: set[bytes] = set()
        self._evidence: deque[bytes] = deque(maxlen=MAX_EVIDENCE)
        self._observes_until: int | None = None
        self._heights_heard: dict[str, int] | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot: everything in memory comes anew from the disk."""
        self.life += 1
        self.machine = self.world.make_machine(self.world.chain_id, self.world.schedule.timing)
        self.application = self.world.new_application()
        for block, _ in self.disk.chain:
            self.application.apply(block)
        self._queue.clear()
        self._bodies, self._wanted = dict(self.disk.blocks), set()
        self._guard(lambda: self._start_height(self.disk.restored_log(), perform=True))
        self._later(self.world.random.randrange(STATUS_MS), self._tick)

    def wipe(self) -> None:
        """Replace the disk: the node must observe before it signs again (LEDGER rule 11)."""
        self.disk = Disk()
        self._heights_heard = {}
        self.world.witness.wiped(self)

    def crash(self) -> None:
        """Lose power, come back a little later."""
        self.world.witness.crashed(self)
        self.disk.cut_power(self.world.random)
        self.machine = None
        self.world.timeline.after(RESTART_MS, self.start)

    def clock_ms(self) -> int:
        """Return the node's wall clock."""
        return EPOCH_MS + self.world.timeline.now_ms + self.world.schedule.clock_offsets_ms[self.index]

    def feed(self, event: ev.Event) -> None:
        """Hand *event* to the core and perform what it asks for."""
        self._guard(lambda: self._handle(event, perform=True))

    # --- network ----------------------------------------------------------------------------------------------------

    def receive(self, source: str, frame: Frame) -> None:
        """Take in a frame."""
        if self.machine is None:
            return
        match frame:
            case MessageFrame(raw, _, block):
                self._receive_message(raw, block)
            case StatusFrame(raw):
                self._receive_status(source, raw)
            case DecidedFrame(block, commit) if commit.height == self.disk.height:
                self.feed(ev.CommitReceived(commit))
                self._keep_body(block)
            case FetchFrame(block_id):
                block = self._bodies.get(block_id)
                if block is not None:
                    self._send(source, BlockFrame(block))
            case BlockFrame(block):
                self._keep_body(block)

    def _receive_message(self, raw: bytes, block: bytes | None) -> None:
        message = self.decode(raw)
        if message is None:
            return
        if block is not None and isinstance(message.statement, Proposal):
            self._keep_body(block, message.statement.block_id)
        self.feed(ev.MessageReceived(message))

    def _receive_status(self, source: str, raw: bytes) -> None:
        status = self.world.read_status(raw)
        if self._heights_heard is not None:
            self._heights_heard[source] = status.height
            if len(self._heights_heard) >= self.authorities.weak_quorum:
                self._observes_until = max(self._heights_heard.values()) + 1
                self._heights_heard = None
        self.feed(ev.StatusReceived(source, status))

    def decode(self, raw: bytes) -> Message | None:
        """Return the message in *raw* as the real shell reads it, or None."""
        height = self.disk.height
        known = range(max(height - 1, 1), height + HEIGHTS_AHEAD)
        return self.world.decode(raw, {number: self.application.authorities(number) for number in known})

    @property
    def authorities(self) -> AuthoritySet:
        """The set of the height in progress."""
        return self.application.authorities(self.disk.height)

    def _send(self, target: str, frame: Frame) -> None:
        self.world.network.send(self, target, frame)

    def _broadcast(self, frame: Frame) -> None:
        for name in self.world.network.receivers:
            if name != self.name:
                self._send(name, frame)

    def _tick(self) -> None:
        status = self.machine.status() if self.machine is not None else None
        if status is not None:
            self._broadcast(StatusFrame(status.encode()))
        for block_id in sorted(self._wanted - self._bodies.keys()):
            self._broadcast(FetchFrame(block_id))
        self._later(STATUS_MS, self._tick)

    # --- effects ----------------------------------------------------------------------------------------------------

    def _handle(self, event: ev.Event, *, perform: bool) -> None:
        if self.machine is None:
            return
        before = self.world.witness.look(self)
        asked = self.machine.handle(event, self.clock_ms())
        self._queue.extend(asked)
        self.world.witness.check_event(self, before, event, asked)
        while perform and self._queue:
            self.world.maybe_cut_power(self.name, self.index)
            self._perform(self._queue.popleft())

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.Record(message):
                self.disk.record(message)
            case do.Cast():
                self._cast(effect)
            case do.BuildBlock():
                self._plan_build(effect)
            case do.ValidateBlock(_, block_id):
                self._wanted.add(block_id)
                self._plan_validation(block_id)
            case do.SetTimer(timer, delay_ms):
                self._later(delay_ms, lambda: self.feed(ev.TimeoutFired(timer)))
            case do.SendTo(peer, messages):
                self._send_all(peer, messages)
            case do.SendDecided(peer, height):
                self._send(peer, DecidedFrame(*self.disk.chain[height - 1]))
            case do.Decide():
                self._decide(effect)
            case do.EvidenceFound() | do.Halt():
                self._hear(effect)

    def _cast(self, cast: do.Cast) -> None:
        message = self.disk.signed(cast.statement) or self.sign(cast)
        self.world.maybe_cut_power(self.name, self.index)
        self.disk.commit(message)
        self.world.witness.signed(self, message)
        self.world.maybe_cut_power(self.name, self.index)
        self._handle(ev.MessageSigned(message), perform=False)
        self.publish(message)

    def sign(self, cast: do.Cast) -> Message:
        """Return the statement signed."""
        return sign(cast.statement, self.world.chain_id, self.index, self.key)

    def publish(self, message: Message) -> None:
        """Send an own message to everybody."""
        self._broadcast(self.frame_of(message))

    def frame_of(self, message: Message) -> MessageFrame:
        """Return the frame that carries an own message: a proposal takes its block along."""
        statement = message.statement
        block = self._bodies.get(statement.block_id) if isinstance(statement, Proposal) else None
        return MessageFrame(message.raw, statement.kind, block)

    def _send_all(self, peer: str, messages: tuple[Message, ...]) -> None:
        for message in messages:
            self._send(peer, MessageFrame(message.raw, message.statement.kind))

    def _hear(self, effect: do.EvidenceFound | do.Halt) -> None:
        self.world.witness.heard(self, effect)
        if isinstance(effect, do.EvidenceFound):
            self._evidence.append(Evidence.of(effect.first, effect.second).encode())

    def _plan_build(self, effect: do.BuildBlock) -> None:
        wait_ms = max(0, self.application.last_time_ms + 1 - self.clock_ms())
        self._later(wait_ms + self.world.schedule.execution_ms, lambda: self._build(effect))

    def _build(self, effect: do.BuildBlock) -> None:
        if effect.height == self.disk.height:
            candidate = self.make_block(effect)
            self.disk.blocks[candidate.block_id] = self._bodies[candidate.block_id] = candidate.raw
            self.feed(ev.BlockBuilt(effect.height, effect.round, candidate.block_id, candidate.time_ms))

    def make_block(self, effect: do.BuildBlock) -> Candidate:
        """Return the block to propose."""
        return self.application.build(
            effect.height, self.clock_ms(), self.index, effect.last_commit, tuple(self._evidence)
        )

    def _keep_body(self, raw: bytes, proposed: bytes | None = None) -> None:
        """Keep a block that the core asked for, or that came with its proposal."""
        try:
            block_id = self.application.read(raw).block_id
        except MalformedError:
            return
        if block_id in self._wanted or (block_id == proposed and len(self._bodies) < MAX_BODIES):
            self._bodies[block_id] = raw
            self._plan_validation(block_id)

    def _plan_validation(self, block_id: bytes) -> None:
        if block_id in self._wanted and block_id in self._bodies:
            self._wanted.discard(block_id)
            height = self.disk.height
            self._later(self.world.schedule.execution_ms, lambda: self._validate(height, block_id))

    def _validate(self, height: int, block_id: bytes) -> None:
        raw = self._bodies.get(block_id)
        if height == self.disk.height and raw is not None:
            valid = self.is_acceptable(height, raw)
            if valid:
                self.disk.blocks[block_id] = raw
            self.feed(ev.BlockValidated(height, block_id, valid, self.application.read(raw).time_ms if valid else 0))

    def is_acceptable(self, height: int, raw: bytes) -> bool:
        """Execute the block; tell whether it is valid."""
        return self.application.is_valid(height, raw)

    def _decide(self, effect: do.Decide) -> None:
        raw = self._bodies[effect.block_id]
        self.world.witness.decided(self, effect, self.application.read(raw))
        self.application.apply(raw)
        self.disk.decide(raw, effect.commit)
        self.world.witness.applied(self)
        self._bodies, self._wanted = {effect.block_id: raw}, set()
        self.world.maybe_cut_power(self.name, self.index)
        self._start_height((), perform=False)

    def _start_height(self, log: tuple[Message, ...], *, perform: bool) -> None:
        height = self.disk.height
        commit = self.disk.chain[-1][1] if self.disk.chain else None
        is_restored = self._heights_heard is None and height > (self._observes_until or 0)
        interval_ms = self.world.schedule.interval_ms
        started = ev.HeightStarted(height, self.authorities, self.index, is_restored, interval_ms, commit, log)
        self._handle(started, perform=perform)
        self._later(self.world.random.randrange(500), lambda: self.feed(ev.WorkAvailable(height)))

    # --- simulated time ---------------------------------------------------------------------------------------------

    def _later(self, delay_ms: int, action: Callable[[], None]) -> None:
        life = self.life

        def act() -> None:
            if self.life == life and self.machine is not None:
                action()

        self.world.timeline.after(delay_ms, act)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except PowerCut:
            self.crash()
