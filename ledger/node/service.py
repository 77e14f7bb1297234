"""One authority's node: opens what it needs, joins the parts, answers its peers, and shuts down in order."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import structlog

from ledger import checkpoint, genesis, keys
from ledger.authority import AuthoritySet
from ledger.checkpoint import Checkpoint
from ledger.codes import Refusal
from ledger.consensus.machine import Machine
from ledger.errors import MalformedError
from ledger.genesis import Genesis
from ledger.market import clearing
from ledger.node.admission import Admission, Admitted
from ledger.node.answers import Answers
from ledger.node.chain import Candidate, Chain, Ledger
from ledger.node.driver import Driver
from ledger.node.heads import Heads
from ledger.node.mempool import Mempool, PoolRefusal
from ledger.node.network import wire
from ledger.node.network.conduct import Fault
from ledger.node.network.peers import Peers
from ledger.node.network.standing import Standing
from ledger.node.network.sync import DecidedBlock
from ledger.node.network.wire import Frame, FrameType
from ledger.node.parts import Parts
from ledger.node.recovery import memory, resuming
from ledger.node.recovery.memory import DATABASE
from ledger.node.recovery.rejoining import Rejoining
from ledger.node.reporting.results import decode_result
from ledger.node.settings import NodeSettings, SettingsError
from ledger.node.signers import identity as node_identity
from ledger.node.signers.cosigning import Cosigning, decode_provable
from ledger.node.signers.witnessing import Witnessing
from ledger.node.snapshots.arrival import Arrival
from ledger.node.snapshots.copying import Copy
from ledger.node.snapshots.offer import Snapshots
from ledger.node.snapshots.pruning import Pruner
from ledger.node.storage.disk import Disk
from ledger.node.storage.room import Room
from ledger.node.storage.store import SignedType, Store
from ledger.runtime import Runtime

RELOADED: Final = ("peers", "tls", "listen", "announce", "witnesses")
"""The settings that a running node takes over; all others need a restart."""
REPORT_INTERVAL_S: Final = 0.4
MAX_PASSED_ON: Final = 1_000
SIGNATURE_THREADS: Final = 2

log = structlog.get_logger("node")


class Node:
    """A running node. Made by `open`; `run` works until cancelled; `close` leaves everything durable and closed."""

    def __init__(self, settings: NodeSettings, chain: Chain, disk: Disk, pool: ThreadPoolExecutor) -> None:
        rules = chain.runtime.genesis
        self.settings = settings
        self.genesis: Genesis = rules
        self.identity = node_identity.load(settings)
        self.disk = disk
        self.ledger = Ledger(chain)
        self.mempool = Mempool()
        self.standing = Standing(lambda: self.driver.position, [peer.name for peer in settings.peers])
        self.peers = Peers(settings, rules.chain_id, self._take_frame, self._greet, self.standing)
        self.machine = Machine(rules.chain_id)
        position = chain.position()
        begins = position.header.height == 0 and not settings.joins
        if begins:
            node_identity.require_seat(self.identity, position.authorities, settings)
        _check_peers(settings, position.authorities, begins=begins)
        newest = Checkpoint(checkpoint.origin(rules.chain_id), position.header.log_size, position.header.log_root)
        self.cosigning = Cosigning(newest.origin, position.authorities, newest)
        self.heads = Heads(position.header.height)
        height, folder = position.header.height, settings.data_dir
        every_blocks, after_blocks = settings.snapshots.every_blocks, settings.snapshots.after_blocks
        self.snapshots = Snapshots(disk, folder / DATABASE, every_blocks, height, self.peers.send)
        self.rejoining = Rejoining(settings.name, disk)
        self._parts = Parts(
            rules, self.identity, disk, self.ledger, self.machine, self.peers, self.mempool, self.cosigning,
            self.heads, self.snapshots, self.rejoining,
        )  # fmt: skip
        self.driver = Driver(self._parts, position)
        self.admission = Admission(
            self.ledger,
            self.mempool,
            self.peers.broadcast,
            self.driver.offer_work,
            lambda peer: self.peers.blame(peer, Fault.BAD_TRANSACTION),
        )
        self.observer, self.results = self._parts.observer, self._parts.results
        self.arrival = Arrival(
            rules, folder / "incoming", after_blocks, self.peers.send, self._adopt,
            lambda peer: self.peers.blame(peer, Fault.BAD_SNAPSHOT), is_new=height == 0,
        )  # fmt: skip
        self.pruner = Pruner(disk, settings.keep, self.snapshots)
        self.observer.metrics.name_authorities(member.name for member in position.authorities.members)
        disk.on_synced = self.observer.metrics.sync_seconds.observe
        self.witnessing = Witnessing(settings.witnesses, disk, lambda: self.cosigning.provable, lambda: self.log_key)
        self.room = Room(settings.data_dir)
        self._answers = Answers(self._parts)
        self._pool = pool
        self._heard: dict[str, int] = {}
        self._turn = 0

    @classmethod
    def open(cls, settings: NodeSettings) -> Node:
        """Recover the node from its data directory; raises SettingsError, GenesisError, StoreError, CorruptedError."""
        rules = genesis.load(settings.genesis)
        clearing.warm()
        pool = ThreadPoolExecutor(SIGNATURE_THREADS, "signatures")
        path = settings.data_dir / DATABASE
        with ExitStack() as opened:
            store = Store.open(path, rules.chain_id)
            opened.callback(store.close)
            memory.note_loss(store)
            chain = Chain.recover(Runtime(rules, pool=pool), store)
            node = cls(settings, chain, Disk(store, Store.open_reader(path)), pool)
            opened.pop_all()
        return node

    async def run(self) -> None:
        """Take part until cancelled; an exception means that the node cannot go on."""
        await self._recover_checkpoint()
        await self.rejoining.recover()
        await self.peers.open()
        at = self.driver.position
        log.info(
            "node started", name=self.identity.name, height=at.header.height, tolerated_faults=at.authorities.faults,
            **({"development": "NOT FAULT-TOLERANT, for trying things on"} if self.genesis.development else {}),
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report())
                group.create_task(self.admission.run())
                group.create_task(self.pruner.run())
                group.create_task(self.witnessing.run())
                group.create_task(self.driver.run())
                group.create_task(self._bring_in_permission())
        except BaseExceptionGroup as group_fault:
            raise group_fault.exceptions[0] from group_fault

    async def close(self) -> None:
        """Close links, threads and database; what was promised is on the disk already."""
        self.driver.close()
        self._answers.close()
        await self.peers.close()
        await self.snapshots.close()
        self.ledger.close()
        self._pool.shutdown(cancel_futures=True)
        self.disk.close()
        log.info("node stopped", name=self.identity.name, height=self.driver.position.header.height)

    async def reload(self, settings: NodeSettings) -> None:
        """Take over the peers, addresses, TLS files and witnesses of *settings*; all else needs a restart.

        Raises SettingsError for what cannot be used, which changes nothing: the node goes on with what it had.
        """
        _check_peers(settings, self.driver.position.authorities, begins=False)
        await self.peers.reload(settings)
        fields = [name for name in type(settings).model_fields if name not in RELOADED]
        changed = [name for name in fields if getattr(settings, name) != getattr(self.settings, name)]
        if changed:
            log.warning("restart the node for what else changed in its settings", changed=changed)
        self.standing.named = frozenset(peer.name for peer in settings.peers)
        self.witnessing.reload(settings.witnesses)
        log.info(
            "settings read again", peers=sorted(self.standing.named), listen=str(settings.listen),
            witnesses=[one.key.name for one in settings.witnesses],
        )  # fmt: skip

    async def admit(self, raw: bytes) -> Admitted | Refusal | PoolRefusal:
        """Take a client's transaction in and pass it on to the other authorities."""
        return (await self.admission.submit([raw]))[0]

    def executed(self, height: int) -> list[Candidate]:
        """Return the blocks of *height* that were found valid here, while it is in progress."""
        return list(self._parts.blocks.executed.values()) if height == self.driver.height else []

    @property
    def log_key(self) -> keys.PrivateKey:
        """The key under which this node serves its log."""
        seat = self.driver.seat
        return (seat.keys if seat is not None else self.identity.key_sets[0]).log

    # ---- recovery

    async def _recover_checkpoint(self) -> None:
        stored = await self.disk.read(lambda store: store.meta("provable"))
        if stored is not None:
            self.cosigning.provable = decode_provable(stored)
        height = self.driver.position.header.height
        for signed in await self.disk.read(lambda store: store.signed(height)):
            place = self.driver.place
            if signed.type is SignedType.COSIGNATURE and place is not None:
                report = wire.CosignatureReport(self.cosigning.newest.size, place, signed.message)
                self.driver.take_cosignature(report)

    async def _bring_in_permission(self) -> None:
        """Bring into the chain what let this node go on after a loss; calls that are there already are refused."""
        calls = await self.disk.read(resuming.accepted)
        if calls:
            await self.admission.submit(calls)

    # ---- what goes out

    async def _report(self) -> None:
        """Tell all peers where this node stands, ask for what it lacks, and look for work, a few times a second."""
        while True:
            await self.rejoining.look(self.driver.position)
            height = self.driver.height
            observes = not self.rejoining.may_sign(height)
            own = wire.NodeReport(self.machine.status(), height, self.cosigning.provable_size, _now_ms(), observes)
            self.peers.broadcast(wire.report(own))
            self.arrival.tick(height, self._heard, time.monotonic())
            request = None
            if not self.arrival.holds_back:
                request = self._parts.sync.next_request(height, time.monotonic())
            if request is not None:
                self.peers.send(request[0], wire.block_range(request[1].first, request[1].count))
            self._ask_for_blocks(height)
            self.driver.offer_work()
            self.room.note()
            await asyncio.sleep(REPORT_INTERVAL_S)

    def _ask_for_blocks(self, height: int) -> None:
        names = [name for name, peer in self.peers.by_name.items() if peer.linked and name in self.standing.authorities]
        for block_id in self._parts.blocks.wanted if names else ():
            self._turn += 1
            self.peers.send(names[self._turn % len(names)], wire.wanted(height, block_id))

    def _greet(self, name: str) -> None:
        """Pass what waits on to a peer whose link has just come up."""
        for frame in wire.transactions(self.mempool.all(MAX_PASSED_ON)):
            self.peers.send(name, frame)

    # ---- what comes in

    def _take_frame(self, name: str, frame: Frame) -> None:
        try:
            self._dispatch(name, frame)
        except MalformedError as error:
            log.warning("malformed frame", peer=name, kind=frame.kind.name, error=str(error))
            self.peers.blame(name, Fault.MALFORMED)

    def _dispatch(self, name: str, frame: Frame) -> None:
        match frame.kind:
            case FrameType.MESSAGE:
                self.driver.take_message(name, frame.payload)
            case FrameType.PROPOSAL:
                self.driver.take_proposal(name, *wire.read_proposal(frame.payload))
            case FrameType.CANDIDATE:
                self.driver.take_candidate(*wire.read_candidate(frame.payload))
            case FrameType.STATUS:
                self._take_report(name, wire.read_report(frame.payload))
            case FrameType.COSIGNATURE:
                if not self.driver.take_cosignature(wire.read_cosignature(frame.payload)):
                    self.peers.blame(name, Fault.BAD_SIGNATURE)
            case FrameType.DECIDED:
                self._take_decided(name, frame.payload)
            case FrameType.RESULT:
                self.results.take(name, decode_result(frame.payload))
            case _:
                self._take_other(name, frame)

    def _take_other(self, name: str, frame: Frame) -> None:
        """Take in what does not belong to consensus."""
        match frame.kind:
            case FrameType.TRANSACTIONS:
                self.admission.take_gossip(name, wire.read_transactions(frame.payload))
            case FrameType.SNAPSHOTS | FrameType.MANIFEST | FrameType.PART:
                self._take_of_snapshot(name, frame)
            case _:
                if not self._answers.take(name, frame):
                    raise MalformedError(f"a {frame.kind.name} frame has no place here")

    def _take_report(self, name: str, report: wire.NodeReport) -> None:
        self._heard[name] = report.height
        self.rejoining.hear(name, report)
        self.observer.take_report(name, report, _now_ms())
        if name in self.peers.by_name:
            self.peers.by_name[name].height = report.height
        self._parts.sync.note(name, report.height)
        if report.status is not None:
            self.driver.take_status(name, report.status)
        if report.height == self.driver.height and report.provable_size < self.cosigning.newest.size:
            for cosignature in self.cosigning.reports():
                self.peers.send(name, wire.cosignature(cosignature))

    def _take_decided(self, name: str, payload: bytes) -> None:
        body, commit = wire.read_decided(payload)
        if self.arrival.holds_back:
            return
        self._parts.sync.receive(DecidedBlock(name, body, commit), self.driver.height)
        self.driver.take_decided(name)

    def _take_of_snapshot(self, name: str, frame: Frame) -> None:
        offer = self.arrival.take_frame(name, frame, self.driver.height, time.monotonic())
        if offer is not None:
            self._parts.sync.note_first(name, offer.first_block)

    def _adopt(self, copy: Copy) -> None:
        self.driver.adopt(copy, self.arrival.give_up)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _check_peers(settings: NodeSettings, authorities: AuthoritySet, *, begins: bool) -> None:
    """Refuse peers named twice, and one left out where a chain *begins*; later a node says so and goes on without."""
    others = sorted({member.name for member in authorities.members} - {settings.name})
    named = [peer.name for peer in settings.peers]
    missing = [name for name in others if name not in named]
    if len({settings.name, *named}) != len(named) + 1 or (missing and begins):
        raise SettingsError(f"peers must name each other authority once: {', '.join(others)}")
    if missing:
        log.warning("no address for these authorities: add them to `peers` in node.toml", names=missing)
