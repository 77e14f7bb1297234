"""Performs the consensus core's effects, one event at a time and each in the safe order.

The order is: what was promised is on the disk (`_cast`, `_decide`) before anybody hears of it. Slow work (building and
executing blocks) runs in the ledger's thread and comes back as a job of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import structlog

from ledger import envelope, transaction
from ledger.block import MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, Commit
from ledger.consensus import effects as fx
from ledger.consensus import events as ev
from ledger.consensus import messages
from ledger.consensus.commit import verify_commit
from ledger.consensus.messages import Message, Proposal, Statement
from ledger.consensus.signing import DoubleSigningError
from ledger.consensus.status import Status
from ledger.handover import certify
from ledger.liveness import Progress
from ledger.node import promises
from ledger.node.chain import Candidate, Invalid, NotTheBlock, Position, read_state
from ledger.node.inbox import Inbox
from ledger.node.network import wire
from ledger.node.network.conduct import Fault
from ledger.node.parts import Parts
from ledger.node.pending_evidence import PendingEvidence
from ledger.node.reporting.disputes import dispute
from ledger.node.signers.identity import Seat
from ledger.node.signers.signing import Signing
from ledger.node.snapshots import storing as snapshot_storing
from ledger.node.snapshots.copying import Copy
from ledger.node.storage.store import Signed, SignedType
from ledger.snapshot import SnapshotRefusedError

_FORGERIES: Final = (messages.Refusal.OTHER_CHAIN, messages.Refusal.BAD_SIGNATURE, messages.Refusal.NOT_THE_PROPOSER)
"""What no correct node passes on: it would have refused it itself."""

log = structlog.get_logger("consensus")


class Driver:
    """One node's consensus. `position` is where its chain stands, `alarm` why it signs no more (None: all is well)."""

    def __init__(self, parts: Parts, position: Position) -> None:
        self.position = position
        self.alarm: str | None = None
        self._signing = Signing(parts.genesis.chain_id, parts.identity.name, parts.cosigning)
        self.progress = Progress()
        self._parts = parts
        self._chain_id = parts.genesis.chain_id
        self._inbox = Inbox(lambda peer: parts.peers.blame(peer, Fault.MALFORMED))
        self._records: list[Message] = []
        self._executed: list[Candidate] = []
        self._evidence = PendingEvidence(parts.disk, parts.ledger)
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept_size = 0
        self._hooks_due: asyncio.TimerHandle | None = None

    @property
    def key_fault(self) -> str | None:
        """Why a token gave no signature when it was last asked."""
        return self._signing.fault

    @property
    def dropped_jobs(self) -> int:
        """How much of what peers sent was dropped because too much of theirs waited."""
        return self._inbox.dropped

    @property
    def height(self) -> int:
        """The height in progress."""
        return self.position.header.height + 1

    @property
    def seat(self) -> Seat | None:
        """This node's seat among the authorities of the height in progress; None while its keys are none of theirs.

        A change of the set moves places, and a rotation makes an outsider of a node that has the old keys alone.
        """
        return self._parts.identity.seat(self.position.authorities)

    @property
    def place(self) -> int | None:
        """The place of `seat`."""
        return seat.place if (seat := self.seat) is not None else None

    async def run(self) -> None:
        """Start, or go on after a restart, and work for ever."""
        stored = await self._parts.disk.read(partial(promises.read_height, height=self.height))
        for block_id, body in stored.candidates.items():
            self._parts.blocks.offer(self.height, block_id, body)
        self._evidence.items = stored.evidence
        restored = promises.restore(stored, self._chain_id, self.position.authorities, self.place)
        await self._start_height(stored.last_commit, restored)
        while True:
            job = await self._inbox.next()
            with self.progress.working():
                await job()

    def close(self) -> None:
        """Drop the work in hand."""
        for task in self._tasks:
            task.cancel()

    # ---- what comes in; none of these blocks

    def take_message(self, peer: str, raw: bytes) -> None:
        """Take in a consensus message's envelope as it came."""
        self._inbox.post_from(peer, partial(self._receive, peer, raw))

    def take_proposal(self, peer: str, raw: bytes, body: bytes) -> None:
        """Take in a proposal with the bytes that are said to be its block; raises MalformedError."""
        _, statement = messages.read_statement(envelope.parse(raw).payload)
        if isinstance(statement, Proposal):
            self._offer(statement.height, statement.block_id, body)
        self.take_message(peer, raw)

    def take_candidate(self, block_id: bytes, body: bytes) -> None:
        """Take in the answer to a request for a block of the height in progress."""
        if block_id in self._parts.blocks.wanted:
            self._offer(self.height, block_id, body)

    def take_decided(self, peer: str) -> None:
        """See whether the block of this height came with its certificate."""
        self._inbox.post_from(peer, self._try_decided)

    def adopt(self, copy: Copy, refused: Callable[[], None]) -> None:
        """Go on from a whole snapshot, if it is ahead; call *refused* where a part of it is damaged."""
        self._inbox.post(partial(self._adopt, copy, refused))

    def take_cosignature(self, report: wire.CosignatureReport) -> bool:
        """Take in a cosignature; once a quorum is there the checkpoint is provable, and kept. False: it is forged."""
        cosigning = self._parts.cosigning
        is_sound = cosigning.receive(report)
        if cosigning.provable is not None and cosigning.provable_size > self._kept_size:
            self._kept_size, stored = cosigning.provable_size, cosigning.provable.encode()
            self._spawn(self._parts.disk.commit(lambda store: store.set_meta("provable", stored)))
        return is_sound

    def take_status(self, peer: str, status: Status) -> None:
        """Take in where a peer stands."""
        self._inbox.post_from(peer, partial(self._feed, ev.StatusReceived(peer, status)))

    def offer_work(self) -> None:
        """Let the core begin the next block if there is something to decide."""
        if self.has_work():
            self._inbox.post(partial(self._feed, ev.WorkAvailable(self.height)))

    def _offer(self, height: int, block_id: bytes, body: bytes) -> None:
        """Keep what is said to be a block; the core asks only once, so one that it waits for is executed now."""
        blocks = self._parts.blocks
        blocks.offer(height, block_id, body)
        if block_id in blocks.wanted:
            blocks.wanted.discard(block_id)
            self._begin(fx.ValidateBlock(blocks.height, block_id))

    # ---- events and effects

    async def _feed(self, event: ev.Event) -> None:
        """Hand *event* in and perform all that follows, what a signature brings about behind what was there before."""
        effects = deque(self._parts.machine.handle(event, _now_ms()))
        while effects:
            effect = effects.popleft()
            if isinstance(effect, fx.Cast):
                effects.extend(await self._cast(effect.statement))
            else:
                await self._perform(effect)

    async def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Record(message):
                self._records.append(message)
            case fx.Decide():
                await self._decide(effect)
            case fx.EvidenceFound():
                await self._evidence.keep(effect)
            case fx.Halt(reason, height, _):
                self._raise_alarm(f"height {height}: {reason.value}")
            case _:
                self._begin(effect)

    def _begin(self, effect: fx.Effect) -> None:
        """Perform an effect that waits for nothing, or whose outcome comes back as a job."""
        match effect:
            case fx.BuildBlock():
                self._spawn(self._build(effect))
            case fx.ValidateBlock(height, block_id):
                body = self._parts.blocks.want(block_id)
                if body is not None:
                    self._spawn(self._validate(height, block_id, body))
            case fx.SetTimer(timer, delay_ms):
                self._parts.observer.note_timer(timer)
                fired = partial(self._feed, ev.TimeoutFired(timer))
                asyncio.get_running_loop().call_later(delay_ms / 1000, self._inbox.post, fired)
            case fx.SendTo(peer, found):
                for message in found:
                    self._parts.peers.send(peer, wire.message(message.raw))
            case fx.SendDecided(peer, height):
                self._spawn(self._send_decided(peer, height))

    async def _receive(self, peer: str, raw: bytes) -> None:
        message = messages.decode(raw, self.position.sets, self._chain_id)
        if isinstance(message, Message):
            self._parts.observer.take_message(message, self.position.sets[message.statement.height])
            await self._feed(ev.MessageReceived(message))
        elif message is not messages.Refusal.OTHER_HEIGHT:
            log.warning("message refused", peer=peer, reason=message.value)
            if message in _FORGERIES:
                self._parts.peers.blame(peer, Fault.BAD_SIGNATURE)

    async def _cast(self, statement: Statement) -> tuple[fx.Effect, ...]:
        """Sign, make durable together with inputs and blocks so far, count the own message, and only then send it."""
        seat = self.seat
        if self.alarm is not None or seat is None:
            return ()
        message = await self._signing.sign_message(statement, seat)
        if message is None:
            return ()
        self._parts.observer.note_cast(self._parts.machine.state, statement, self._parts.blocks.wanted, _now_ms())
        height, round_, kind = statement.slot
        signed = Signed(height, round_, SignedType(kind), statement.payload(self._chain_id), message.signature)
        records, self._records = self._records, []
        executed, self._executed = self._executed, []
        try:
            await self._parts.disk.commit(partial(promises.store_promise, signed, records, executed))
        except DoubleSigningError as error:
            self._raise_alarm(str(error))
            return ()
        followed_by = self._parts.machine.handle(ev.MessageSigned(message), _now_ms())
        self._parts.peers.broadcast(self._frame(message))
        return followed_by

    async def _decide(self, effect: fx.Decide) -> None:
        """Make the block, all it changes and the own cosignature durable at once, then move on."""
        parts, candidate = self._parts, self._parts.blocks.executed[effect.block_id]
        header = candidate.block.header
        own = None
        seat = parts.identity.seat(self.position.sets[header.height + 1])  # a checkpoint is the next set's to cosign
        if self.alarm is None and seat is not None:
            own = await self._signing.cosign(header, seat, _now_ms() // 1000)
        changed = certify(header, effect.commit, self.position.authorities, self.position.sets[header.height + 1])
        await parts.disk.commit(partial(promises.store_decision, candidate, effect.commit, own, changed))
        parts.results.keep_decided(effect.block_id, candidate.execution)
        parts.observer.note_events(candidate.execution)
        await parts.snapshots.after(header, len(candidate.block.transactions))
        parts.observer.note_decided(header.height, effect.round, self.position.authorities)
        senders = {receipt.sender for receipt in candidate.execution.receipts}
        self.position, nonces = await parts.ledger.run(
            lambda chain: (chain.advance(candidate), chain.next_nonces(senders))
        )
        parts.heads.announce(header.height)
        await self._settle(nonces)
        log.info("decided", height=header.height, round=effect.round, transactions=len(candidate.block.transactions))
        parts.cosigning.start(header, self.position.authorities)
        if own is not None and seat is not None:
            report = wire.CosignatureReport(header.log_size, seat.place, own.message)
            parts.peers.broadcast(wire.cosignature(report))
            self.take_cosignature(report)
        await self._start_height(effect.commit, ())

    async def _settle(self, nonces: Mapping[bytes, int]) -> None:
        """Drop from the mempool and the evidence what the new state has done with; *nonces* are the accounts' next."""
        self._parts.mempool.settle(nonces, self.position.header.height)
        await self._evidence.forget_settled()

    async def _adopt(self, copy: Copy, refused: Callable[[], None]) -> None:
        manifest, parts = copy.manifest, self._parts
        if manifest.height < self.height:
            return
        try:
            await parts.disk.commit(lambda store: snapshot_storing.put(store, manifest, copy.part))
        except SnapshotRefusedError as error:
            log.warning("a snapshot was damaged on this disk: taking it anew", error=str(error))
            refused()
            return
        state = await parts.disk.read(read_state)
        self.position = await parts.ledger.run(lambda chain: chain.go_to(state))
        senders = parts.mempool.senders()
        await self._settle(await parts.ledger.run(lambda chain: chain.next_nonces(senders)))
        parts.cosigning.start(manifest.header, self.position.authorities)
        parts.heads.announce(manifest.height)
        log.info("went on from a snapshot", height=manifest.height)
        await self._start_height(manifest.commit, ())

    async def _start_height(self, last_commit: Commit | None, stored: tuple[Message, ...]) -> None:
        self._records.clear()
        self._executed.clear()
        self._parts.blocks.start(self.height)
        self._parts.observer.note_height()
        if self.position.unable is not None:
            self._raise_alarm(self.position.unable)
        may_sign = self.alarm is None and self._parts.rejoining.may_sign(self.height)
        waited_ms = _now_ms() - self.position.header.time_ms
        interval_ms = self.position.parameters.block_interval_ms
        delay_ms = min(max(0, interval_ms - waited_ms), interval_ms)
        index, authorities = self.place, self.position.authorities
        await self._feed(ev.HeightStarted(self.height, authorities, index, may_sign, delay_ms, last_commit, stored))
        await self._try_decided()
        self.offer_work()
        self._await_hooks()

    def _await_hooks(self) -> None:
        """Look for work at the moment the next hook is due, not only at the next report."""
        if self._hooks_due is not None:
            self._hooks_due.cancel()
        if self.position.due_ms is not None:
            wait_s = max(0, self.position.due_ms - _now_ms()) / 1000
            self._hooks_due = asyncio.get_running_loop().call_later(wait_s, self.offer_work)

    async def _try_decided(self) -> None:
        """Hand in the certificate of this height if one came with its block; blame whoever sent a bad one."""
        found = self._parts.sync.take(self.height)
        if found is None:
            return
        if not verify_commit(found.commit, self.position.authorities, self._chain_id):
            log.warning("bad commit certificate", peer=found.peer, height=found.commit.height)
            self._parts.sync.distrust(found.peer, time.monotonic())
            self._parts.peers.blame(found.peer, Fault.BAD_CERTIFICATE)
            return
        self._offer(self.height, found.commit.block_id, found.body)
        await self._feed(ev.CommitReceived(found.commit))

    # ---- slow work

    async def _build(self, effect: fx.BuildBlock) -> None:
        parent_ms = self.position.header.time_ms
        await asyncio.sleep(max(0, parent_ms + 1 - _now_ms()) / 1000)
        items = self._parts.mempool.ready(MAX_BLOCK_TRANSACTIONS, MAX_BLOCK_BYTES)
        place, evidence = self.place, tuple(self._evidence.items)
        if place is None:
            return
        time_ms = max(_now_ms(), parent_ms + 1)
        candidate = await self._parts.ledger.run(
            lambda chain: (
                chain.build(time_ms, place, items, evidence, effect.last_commit, effect.round)
                if chain.height + 1 == effect.height
                else None
            )
        )
        if candidate is None:
            return
        self._drop_impossible(items, candidate)
        self._inbox.post(partial(self._built, effect, candidate))

    async def _built(self, effect: fx.BuildBlock, candidate: Candidate) -> None:
        if effect.height == self.height:
            header = candidate.block.header
            self._parts.blocks.executed[header.id] = candidate
            self._executed.append(candidate)
            await self._feed(ev.BlockBuilt(effect.height, effect.round, header.id, header.time_ms))

    async def _validate(self, height: int, block_id: bytes, body: bytes) -> None:
        result = await self._parts.ledger.run(
            lambda chain: chain.validate(block_id, body) if chain.height + 1 == height else None
        )
        if result is not None:
            self._inbox.post(partial(self._judge, height, block_id, result))

    async def _judge(self, height: int, block_id: bytes, result: Candidate | Invalid | NotTheBlock) -> None:
        if height != self.height:
            return
        match result:
            case NotTheBlock():
                self._parts.blocks.reject(block_id)
            case Invalid(reason, execution):
                log.warning("invalid block", height=height, reason=reason)
                self._parts.observer.note_fault(block_id, reason)
                if execution is not None:
                    dispute(self._parts, self.position.authorities, block_id, reason, execution)
                await self._feed(ev.BlockValidated(height, block_id, valid=False, time_ms=0))
            case Candidate():
                self._parts.blocks.executed[block_id] = result
                self._executed.append(result)
                time_ms = result.block.header.time_ms
                await self._feed(ev.BlockValidated(height, block_id, valid=True, time_ms=time_ms))

    async def _send_decided(self, peer: str, height: int) -> None:
        found = await self._parts.disk.read(lambda store: store.decided(height))
        if found is not None:
            self._parts.peers.send(peer, wire.decided(*found))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a step of consensus failed", exc_info=error)
            self._raise_alarm(
                f"height {self.height}: a step of consensus failed unexpectedly ({error!r}); keep the log for the"
                " developers, mend the cause, then start the node again"
            )

    # ---- small decisions

    def has_work(self) -> bool:
        """Tell whether there is something to decide: transactions, due hooks, evidence, or a heartbeat."""
        now_ms, heartbeat_ms = _now_ms(), self.position.parameters.heartbeat_ms
        due_ms = self.position.due_ms
        is_due = due_ms is not None and due_ms <= now_ms
        is_stale = self.position.header.time_ms + heartbeat_ms <= now_ms
        return is_due or is_stale or bool(self._evidence.items) or self._parts.mempool.has_ready()

    def _frame(self, message: Message) -> wire.Frame:
        """Return what carries *message*: with a proposal goes its block."""
        if isinstance(message.statement, Proposal):
            body = self._parts.blocks.body(message.statement.block_id)
            if body is not None:
                return wire.proposal(message.raw, body)
        return wire.message(message.raw)

    def _drop_impossible(self, items: tuple[bytes, ...], candidate: Candidate) -> None:
        """The first transaction offered always fits: one that is missing all the same will never be in a block."""
        if items and items[0] not in candidate.block.transactions[:1]:
            self._parts.mempool.drop([transaction.decode(items[0])])

    def _raise_alarm(self, text: str) -> None:
        self.alarm = text
        log.critical("this node signs no more", reason=text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
