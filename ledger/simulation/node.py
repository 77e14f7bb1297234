"""A simulated node: the shell's duties (see `ledger.consensus.effects`) over a simulated disk, network and clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ledger.authority import AuthoritySet
from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.commit import verify_commit
from ledger.consensus.evidence import Evidence
from ledger.consensus.machine import Machine
from ledger.consensus.messages import Message, Proposal
from ledger.consensus.signing import first_height_to_sign
from ledger.consensus.status import Status
from ledger.errors import MalformedError
from ledger.keys import PrivateKey
from ledger.simulation.application import Application, Candidate
from ledger.simulation.disk import Disk, DiskFull
from ledger.simulation.frames import BlockFrame, DecidedFrame, FetchFrame, Frame, MessageFrame, StatusFrame
from ledger.simulation.surroundings import PowerCut, Surroundings

STATUS_MS: Final = 400
RESTART_MS: Final = 500
MAX_BODIES: Final = 64
MAX_EVIDENCE: Final = 4
EPOCH_MS: Final = 1_700_000_000_000
"""The wall clock at the start of every run."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is: its name on the network, the member it runs for, that member's vote keys, oldest first."""

    name: str
    member: int
    keys: tuple[PrivateKey, ...]


class Node:
    """A correct node. `index` is its place in the set of the height in progress (None: it has none there)."""

    def __init__(self, world: Surroundings, identity: Identity) -> None:
        self.world = world
        self.name, self.member, self.keys = identity.name, identity.member, identity.keys
        self.key, self.index = identity.keys[0], None if identity.member else 0
        self.disk = Disk(power=self._risk_power)
        self.clock = world.schedule.clock(identity.member)
        self.life = 0
        self.machine: Machine | None = None
        self.application: Application = world.new_application()
        self.sets: dict[int, AuthoritySet] = {}
        self._queue: deque[do.Effect] = deque()
        self._bodies: dict[bytes, bytes] = {}
        self._wanted: set[bytes] = set()
        self._signs_from = 1
        self._heights_heard: dict[int, int] | None = None
        self._started_ms = 0

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot: everything in memory comes anew from the disk."""
        self.life += 1
        self._started_ms = self.world.timeline.now_ms
        self.machine = self.world.new_machine()
        self.application = self.world.new_application()
        for block, _ in self.disk.chain:
            self.application.apply(block)
        self._queue.clear()
        self._bodies, self._wanted = dict(self.disk.blocks), set()
        self._guard(self._start_height, self.disk.restored_log(), True)
        self._later(int(self.world.random.random() * STATUS_MS), self._tick)

    def replace_disk(self, disk: Disk) -> None:
        """Go on with an empty disk or an old one: the node must observe before it signs again (LEDGER rule 11)."""
        self.disk, disk.power = disk, self._risk_power
        self._heights_heard = {}
        self.world.witness.forgot(self)
        if self.machine is not None:
            self.crash()

    def join(self, chain_of: Node, *, by_snapshot: bool) -> None:
        """Boot for the first time; a snapshot is checked block by block, certificate by certificate."""
        for block, commit in chain_of.disk.chain if by_snapshot else ():
            height = self.application.authorities(self.disk.height)
            if not verify_commit(commit, height, self.world.chain_id, self.world.signatures.is_signed_by):
                break
            self.application.apply(block)
            self.disk.chain.append((block, commit))
        self.start()

    def crash(self) -> None:
        """Lose power, come back a little later."""
        self.world.witness.crashed(self)
        self.disk.cut_power(self.world.random, self.world.network.faults)
        self.machine = None
        self.world.timeline.after(RESTART_MS, self.start)

    def _risk_power(self) -> None:
        """Be where power may fail: between two effects, or in the middle of a commit."""
        if self.world.may_crash:
            self.world.maybe_cut_power(self.name, self.member)

    def clock_ms(self) -> int:
        """Return the node's wall clock."""
        return EPOCH_MS + self.clock.read_ms(self.world.timeline.now_ms)

    def feed(self, event: ev.Event) -> None:
        """Hand *event* to the core and perform what it asks for."""
        self._guard(self._handle, event, True)

    # --- network ----------------------------------------------------------------------------------------------------

    def receive(self, source: str, frame: Frame) -> None:
        """Take in a frame."""
        if self.machine is None:
            return
        if isinstance(frame, MessageFrame):
            self._receive_message(frame.raw, frame.block)
        elif isinstance(frame, StatusFrame):
            self._receive_status(source, frame)
        elif isinstance(frame, FetchFrame):
            block = self._bodies.get(frame.block_id)
            if block is not None:
                self._send(source, BlockFrame(block))
        elif isinstance(frame, BlockFrame):
            self._keep_body(frame.block)
        elif frame.commit.height == self.disk.height:
            self.feed(ev.CommitReceived(frame.commit))
            self._keep_body(frame.block)

    def _receive_message(self, raw: bytes, block: bytes | None) -> None:
        message = self.world.decode(raw, self.sets)
        if message is None:
            return
        if block is not None and isinstance(message.statement, Proposal):
            self._keep_body(block, message.statement.block_id)
        self.feed(ev.MessageReceived(message))

    def _receive_status(self, source: str, frame: StatusFrame) -> None:
        is_new = frame.sent_ms >= self._started_ms  # a real link carries nothing that is older than the process
        if self._heights_heard is not None and is_new and not frame.observes:
            member = self.world.network.receivers[source].member
            lowest = min(frame.status.height, self._heights_heard.get(member, frame.status.height))
            self._heights_heard[member] = lowest
            self._remember_enough(self._heights_heard)
        self.feed(ev.StatusReceived(source, frame.status))

    def _remember_enough(self, heard: dict[int, int]) -> None:
        """See whether this node can tell by now that it will contradict nothing that it forgot."""
        authorities = self.sets[self.disk.height]
        members = {one.id[-1] for one in authorities.members} - {self.member}
        reported = [height for member, height in heard.items() if member in members]
        signs_from = first_height_to_sign(self.disk.height, reported, authorities.quorum)
        if signs_from is not None:
            self._signs_from, self._heights_heard = signs_from, None

    def _send(self, target: str, frame: Frame) -> None:
        self.world.network.send(self, target, frame)

    def _broadcast(self, frame: Frame) -> None:
        for name in self.world.network.receivers:
            if name != self.name:
                self._send(name, frame)

    def _tick(self) -> None:
        status = self.machine.status() if self.machine is not None else None
        if status is not None and self.world.may_report:
            self.report(status)
            for block_id in sorted(self._wanted - self._bodies.keys()):
                self._broadcast(FetchFrame(block_id))
        self._later(STATUS_MS, self._tick)

    @property
    def observes(self) -> bool:
        """Whether this node may have forgotten what it signed at the height in progress, and so signs nothing."""
        return self._heights_heard is not None or self.disk.height < self._signs_from

    def report(self, status: Status) -> None:
        """Tell everybody where this node stands."""
        self._broadcast(StatusFrame(status, self.world.timeline.now_ms, self.observes))

    # --- effects ----------------------------------------------------------------------------------------------------

    def _handle(self, event: ev.Event, perform: bool) -> None:
        machine = self.machine
        if machine is None:
            return
        witness, queue = self.world.witness, self._queue
        before = witness.look(self)
        asked = machine.handle(event, self.clock_ms())
        queue.extend(asked)
        witness.check_event(self, before, event, asked)
        while perform and queue:
            self._risk_power()
            self._perform(queue.popleft())

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.Record(message):
                self.disk.record(message)
            case do.Cast():
                self._cast(effect)
            case do.SetTimer(timer, delay_ms):
                self._later(delay_ms, self.feed, ev.TimeoutFired(timer))
            case do.Decide():
                self._decide(effect)
            case do.EvidenceFound() | do.Halt():
                self._hear(effect)
            case _:
                self._begin(effect)

    def _begin(self, effect: do.BuildBlock | do.ValidateBlock | do.SendTo | do.SendDecided) -> None:
        """Perform an effect that makes nothing durable."""
        match effect:
            case do.BuildBlock():
                wait_ms = max(0, self.application.last_time_ms + 1 - self.clock_ms())
                self._later(wait_ms + self.world.schedule.execution_ms, self._build, effect)
            case do.ValidateBlock(_, block_id):
                self._wanted.add(block_id)
                self._plan_validation(block_id)
            case do.SendTo(peer, messages):
                for message in messages:
                    self._send(peer, MessageFrame(message.raw, message.statement.kind, message.statement.round))
            case do.SendDecided(peer, height):
                self._send(peer, DecidedFrame(*self.disk.chain[height - 1]))

    def _cast(self, cast: do.Cast) -> None:
        world = self.world
        fresh = self.sign(cast)
        world.remember(fresh, self.sets[cast.statement.height])
        message = self.disk.sign(cast.statement, fresh)
        world.witness.signed(self, message)
        self._risk_power()
        self._handle(ev.MessageSigned(message), False)
        if world.schedule.sync_ms:
            world.network.faults["slow sync"] += 1
            self._later(world.schedule.sync_ms, self.publish, message)
        else:
            self.publish(message)

    def sign(self, cast: do.Cast) -> Message:
        """Return the statement signed."""
        return self.world.signatures.sign(cast.statement, self.index or 0, self.key)

    def publish(self, message: Message) -> None:
        """Send an own message to everybody."""
        self._broadcast(self.frame_of(message))

    def frame_of(self, message: Message) -> MessageFrame:
        """Return the frame that carries an own message: a proposal takes its block along."""
        statement = message.statement
        block = self._bodies.get(statement.block_id) if isinstance(statement, Proposal) else None
        return MessageFrame(message.raw, statement.kind, statement.round, block)

    def _hear(self, effect: do.EvidenceFound | do.Halt) -> None:
        self.world.witness.heard(self, effect)
        if isinstance(effect, do.EvidenceFound) and len(self.disk.evidence) < MAX_EVIDENCE:
            self.disk.keep_evidence(Evidence.of(effect.first, effect.second).encode())

    def _build(self, effect: do.BuildBlock) -> None:
        if effect.height == self.disk.height:
            candidate = self.make_block(effect)
            self._bodies[candidate.block_id] = candidate.raw
            self.disk.keep_block(candidate.block_id, candidate.raw)
            self.feed(ev.BlockBuilt(effect.height, effect.round, candidate.block_id, candidate.time_ms))

    def make_block(self, effect: do.BuildBlock) -> Candidate:
        """Return the block to propose."""
        return self.application.build(
            effect.height, self.clock_ms(), self.index or 0, effect.last_commit, tuple(self.disk.evidence)
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
            self._later(self.world.schedule.execution_ms, self._validate, self.disk.height, block_id)

    def _validate(self, height: int, block_id: bytes) -> None:
        raw = self._bodies.get(block_id)
        if height == self.disk.height and raw is not None:
            valid = self.is_acceptable(height, raw)
            if valid:
                self.disk.keep_block(block_id, raw)
            self.feed(ev.BlockValidated(height, block_id, valid, self.application.read(raw).time_ms if valid else 0))

    def is_acceptable(self, height: int, raw: bytes) -> bool:
        """Execute the block; tell whether it is valid."""
        return self.application.is_valid(height, raw)

    def _decide(self, effect: do.Decide) -> None:
        raw = self._bodies[effect.block_id]
        self.world.witness.decided(self, effect, self.application.read(raw))
        self.disk.decide(raw, effect.commit, self.application.pending_evidence(raw, tuple(self.disk.evidence)))
        self.application.apply(raw)
        self.world.witness.applied(self)
        self._bodies, self._wanted = {effect.block_id: raw}, set()
        self._risk_power()
        self._start_height((), False)

    def _start_height(self, log: tuple[Message, ...], perform: bool) -> None:
        height = self.disk.height
        known = range(max(height - 1, 1), height + 2)
        self.sets = {number: self.application.authorities(number) for number in known}
        authorities = self.sets[height]
        places = {member.vote_key: index for index, member in enumerate(authorities.members)}
        self.key = next((key for key in self.keys if key.public_key in places), self.keys[-1])
        self.index = places.get(self.key.public_key)
        commit = self.disk.chain[-1][1] if self.disk.chain else None
        interval_ms = self.world.schedule.wait_before(height)
        self._handle(
            ev.HeightStarted(height, authorities, self.index, not self.observes, interval_ms, commit, log), perform
        )
        self._later(int(self.world.random.random() * interval_ms), self.feed, ev.WorkAvailable(height))

    # --- simulated time ---------------------------------------------------------------------------------------------

    def _later(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        self.world.timeline.after(delay_ms, self._act, self.life, action, arguments)

    def _act(self, life: int, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.life == life and self.machine is not None:
            action(*arguments)

    def _guard(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except PowerCut:
            self.crash()
        except DiskFull:
            self.world.network.faults["disk full"] += 1
            self.crash()
