"""Links to the other institutions: mutually authenticated TLS over TCP, one outgoing link per peer.

A node writes only on the links that it dialled and reads only on those that it accepted, so two nodes share two
links and nothing has to be agreed about who dials. Addresses come from node.toml, and from the peers themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger import cbor
from ledger.errors import MalformedError
from ledger.node.addresses import Address
from ledger.node.network import links, tls, wire
from ledger.node.network.conduct import Conduct, Fault
from ledger.node.network.links import Outbox, PeerFaultError
from ledger.node.network.standing import Standing
from ledger.node.network.wire import Frame, FrameType
from ledger.node.settings import NodeSettings, SettingsError

FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 2.0
MAX_REFUSED_BACKOFF_S: Final = 10.0
"""For a peer that answers and closes the link at once: an operator must act, or a time must pass."""
HELD_S: Final = 3.0
"""A link is told of as up once it has held so long: one that the peer does not want is closed well before."""
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 15.0
SILENCE_STEP_S: Final = 1.0
"""A link is closed up to so much before it was silent for that long."""
MAX_GREETING: Final = 32
"""Incoming links that have not said who they are; beyond it new ones are closed."""
PROTOCOL: Final = 1

_CLOSED_AT_ONCE: Final = (
    "its log says why, as `peer refused` or `peer cut off`: it must name this node in `peers` unless the chain does,"
    " have this node's certificate in its peers.crt, and be of the same chain; a peer that is cut off waits"
)

log = structlog.get_logger("peers")

Handler = Callable[[str, Frame], None]
"""Called in the loop with the authenticated name of the sender; it must not block."""

Greet = Callable[[str], None]
"""Called when the link to the peer of this name has come up, to queue what it may lack."""


@dataclass(slots=True)
class Peer:
    """One other institution: where it listens, what waits for it, how it behaves, and what it last said of itself.

    `configured` is its address in node.toml, `announced` the one that it told us itself. It is tried first. A link that
    is `linked` is `held` after a while; `is_refused` says that the peer closed those since then at once.
    """

    name: str
    configured: Address | None = None
    announced: Address | None = None
    outbox: Outbox = field(default_factory=Outbox)
    conduct: Conduct = field(default_factory=Conduct)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    linked: bool = False
    held: bool = False
    is_refused: bool = False
    dialling: asyncio.Task[None] | None = None
    reading: asyncio.Task[None] | None = None
    height: int = 0

    @property
    def addresses(self) -> list[Address]:
        """Where to dial it, one after the other."""
        return [address for address in (self.announced, self.configured) if address is not None]


class Peers:
    """All links of one node. `send` never blocks and never fails: a peer that is away loses its oldest frames."""

    def __init__(
        self, settings: NodeSettings, chain_id: bytes, handler: Handler, greet: Greet, standing: Standing
    ) -> None:
        self._settings = settings
        self._chain_id = chain_id
        self._handler = handler
        self._greet = greet
        self._standing = standing
        self._tls = tls.load(settings.tls)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeting = 0
        self._is_closing = False
        self.by_name = {peer.name: Peer(peer.name, peer.address) for peer in settings.peers}

    async def open(self) -> None:
        """Listen and start dialling; raises SettingsError where the address cannot be had."""
        self._server = await self._listen(self._settings.listen, self._tls)
        for peer in self.by_name.values():
            self._start_dialling(peer)

    async def close(self) -> None:
        """Close every link at once; frames that wait are dropped, the protocol sends them again."""
        self._is_closing = True
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload(self, settings: NodeSettings) -> None:
        """Take over addresses and TLS files that changed, without a pause for peers whose did not.

        Raises SettingsError where they cannot be used, and then goes on as before.
        """
        fresh, before = tls.load(settings.tls), self._settings
        if settings.listen != before.listen or fresh.digest != self._tls.digest:
            await self._listen_anew(settings.listen, fresh)
        is_new_tls, self._tls, self._settings = fresh.digest != self._tls.digest, fresh, settings
        addresses = {peer.name: peer.address for peer in settings.peers}
        for name in [name for name in self.by_name if name not in addresses and not self._standing.is_on_chain(name)]:
            self._drop(self.by_name.pop(name))
        for name in sorted({*self.by_name, *addresses}):
            peer = self._peer(name)
            is_moved = peer.configured != addresses.get(name)
            if is_moved:
                peer.configured, peer.announced = addresses.get(name), None
            if is_moved or is_new_tls or settings.announce != before.announce:
                self._drop(peer)
                self._start_dialling(peer)

    def send(self, name: str, frame: Frame) -> None:
        """Queue a frame for one peer. For one without a link nothing is kept: it asks when it is back."""
        peer = self.by_name.get(name)
        if peer is not None and peer.linked:
            peer.outbox.put(frame)

    def broadcast(self, frame: Frame) -> None:
        """Queue a frame for every linked peer."""
        for name in self.by_name:
            self.send(name, frame)

    def blame(self, name: str, fault: Fault) -> None:
        """Count what peer *name* did that no correct node does; one fault too many, and it is cut off for a while."""
        peer, now_s = self._peer(name), time.monotonic()
        if peer.conduct.blame(fault, now_s):
            faults = {one.value: count for one, count in peer.conduct.faults.items()}
            log.warning("peer cut off", peer=name, for_s=peer.conduct.cut_off_until_s - now_s, faults=faults)
            if peer.reading is not None:
                peer.reading.cancel()

    def _peer(self, name: str) -> Peer:
        """Return the peer of this name; one that the chain knows and node.toml does not has no address yet."""
        return self.by_name.setdefault(name, Peer(name))

    # ---- listening

    async def _listen(self, address: Address, contexts: tls.Contexts) -> asyncio.Server:
        try:
            return await asyncio.start_server(
                self._take_in,
                address.host,
                address.port,
                ssl=contexts.server,
                ssl_handshake_timeout=CONNECT_TIMEOUT_S,
            )
        except OSError as error:
            raise SettingsError(_listen_fault(address, error)) from error

    async def _listen_anew(self, address: Address, contexts: tls.Contexts) -> None:
        """Listen with other files or elsewhere; a new place is taken before the old one is given up."""
        if self._server is not None and address == self._settings.listen:
            self._server.close()
        server = await self._listen(address, contexts)
        if self._server is not None:
            self._server.close()
        self._server = server

    def _take_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a link that came, in a task of ours: asyncio's own would call it a fault when it is cancelled."""
        if self._is_closing or self._greeting >= MAX_GREETING:
            writer.close()  # when closing: its handshake ended in that very step, no task of ours knew it yet
        else:
            self._spawn(self._accept(tls.peer_name(writer), reader)).add_done_callback(lambda _: writer.close())

    async def _accept(self, name: str, reader: asyncio.StreamReader) -> None:
        try:
            await self._read_link(name, reader)
        except (PeerFaultError, MalformedError) as error:
            log.warning("peer refused", peer=name, error=str(error))
            if self._is_read_here(name):
                self.blame(name, Fault.PROTOCOL)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError) as error:
            log.debug("incoming link closed", peer=name, error=repr(error))

    async def _read_link(self, name: str, reader: asyncio.StreamReader) -> None:
        self._require_standing(name)
        peer = self._peer(name)
        if peer.conduct.is_cut_off(time.monotonic()):
            return
        await self._require_hello(name, reader)
        self._replace_reader(peer)
        peer.wanted.set()
        self._start_dialling(peer)
        async with asyncio.timeout(SILENCE_TIMEOUT_S) as silence:
            while True:
                frame = await links.read(reader)
                self._require_standing(name)
                delay_s = peer.conduct.delay_s(frame.kind, len(frame.payload), time.monotonic())
                self._take(peer, frame)
                if delay_s > 0:
                    await asyncio.sleep(delay_s)
                _put_off(silence)

    async def _require_hello(self, name: str, reader: asyncio.StreamReader) -> None:
        self._greeting += 1
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                hello = await links.read(reader)
        finally:
            self._greeting -= 1
        if hello.kind is not FrameType.HELLO or cbor.decode(hello.payload) != [PROTOCOL, self._chain_id, name]:
            raise PeerFaultError(f"{name} speaks another protocol, or for another chain: compare the genesis files")

    def _is_read_here(self, name: str) -> bool:
        """Tell whether this task reads the peer's link: until its HELLO a stranger may be at fault, or a setting."""
        peer = self.by_name.get(name)
        return peer is not None and peer.reading is asyncio.current_task()

    def _require_standing(self, name: str) -> None:
        if not self._standing.may_link(name):
            raise PeerFaultError(
                f"{name!r} is neither authority nor candidate of this chain: if it may copy blocks, name it in `peers`"
            )

    def _take(self, peer: Peer, frame: Frame) -> None:
        if frame.kind is FrameType.ADDRESS:
            host, port = wire.read_address(frame.payload)
            self._move(peer, Address(host=host, port=port))
        elif self._standing.may_say(peer.name, frame.kind):
            self._handler(peer.name, frame)

    def _replace_reader(self, peer: Peer) -> None:
        """Read one link per peer: a new one ends the one before, which may be long dead."""
        if peer.reading is not None:
            peer.reading.cancel()
        peer.reading = asyncio.current_task()

    # ---- dialling

    def _start_dialling(self, peer: Peer) -> None:
        """Dial a peer that has an address, unless that is done already."""
        if peer.addresses and (peer.dialling is None or peer.dialling.done()):
            peer.dialling = self._spawn(self._dial(peer))

    def _drop(self, peer: Peer) -> None:
        """End both links with a peer."""
        for task in (peer.dialling, peer.reading):
            if task is not None:
                task.cancel()
        peer.dialling, peer.reading, peer.linked, peer.held = None, None, False, False

    def _move(self, peer: Peer, address: Address) -> None:
        """Dial a peer where it says that it is; a link that holds is left alone."""
        if address not in peer.addresses:
            log.info("peer announced", peer=peer.name, address=str(address))
        peer.announced = address
        peer.wanted.set()
        self._start_dialling(peer)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a link is given up; restart the node", exc_info=error)

    async def _dial(self, peer: Peer) -> None:
        backoff_s, turn = FIRST_BACKOFF_S, 0
        while True:
            peer.wanted.clear()
            error: Exception | None = None
            try:
                await self._write_link(peer, peer.addresses[turn % len(peer.addresses)])
            except (OSError, asyncio.IncompleteReadError, TimeoutError, PeerFaultError) as failure:
                error = failure
                log.debug("link failed", peer=peer.name, error=str(error))
            backoff_s, turn = (FIRST_BACKOFF_S, 0) if peer.held else (backoff_s, turn + 1)
            is_refused = _note_end(peer, error)
            backoff_s = await _back_off(peer, backoff_s, MAX_REFUSED_BACKOFF_S if is_refused else MAX_BACKOFF_S)

    async def _write_link(self, peer: Peer, address: Address) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=self._tls.client, server_hostname=peer.name
            )
        try:
            _require_name(writer, peer.name)
            links.write(writer, wire.hello(PROTOCOL, self._chain_id, self._settings.name))
            if self._settings.announce is not None:
                links.write(writer, wire.address(self._settings.announce.host, self._settings.announce.port))
            peer.outbox.take()
            peer.linked = True
            holding = asyncio.get_running_loop().call_later(HELD_S, _note_held, peer)
            try:
                self._greet(peer.name)
                await links.pump(peer.outbox, reader, writer)
            finally:
                holding.cancel()
        finally:
            writer.close()


def _put_off(silence: asyncio.Timeout) -> None:
    """Have a link that is not silent time out later; not at every frame, for setting a timer costs as much as one."""
    due_s, until_s = silence.when(), asyncio.get_running_loop().time() + SILENCE_TIMEOUT_S
    if due_s is not None and until_s - due_s > SILENCE_STEP_S:
        silence.reschedule(until_s)


def _note_held(peer: Peer) -> None:
    peer.held, peer.is_refused = True, False
    log.info("link up", peer=peer.name)


def _note_end(peer: Peer, error: Exception | None) -> bool:
    """Note that an attempt or a link has ended, tell the operator what is new of it; return whether it was refused."""
    is_refused = peer.linked and not peer.held
    if peer.held:
        log.info("link down", peer=peer.name)
    elif is_refused and not peer.is_refused:
        peer.is_refused = True
        log.info("link closed at once", peer=peer.name, error=str(error or "no reason given"), remedy=_CLOSED_AT_ONCE)
    peer.linked = peer.held = False
    return is_refused


async def _back_off(peer: Peer, backoff_s: float, limit_s: float) -> float:
    """Wait before the next attempt, less if the peer shows itself by linking to us; return the next wait.

    `asyncio.timeout`, because `wait_for` before Python 3.12 loses a cancellation that meets its result.
    """
    await asyncio.sleep(FIRST_BACKOFF_S)
    try:
        async with asyncio.timeout(backoff_s):
            await peer.wanted.wait()
    except TimeoutError:
        return min(backoff_s * 2, limit_s)
    return FIRST_BACKOFF_S


def _require_name(writer: asyncio.StreamWriter, name: str) -> None:
    found = tls.peer_name(writer)
    if found != name:
        raise PeerFaultError(f"dialled {name}, but {found!r} answers there: mend the address in node.toml")


def _listen_fault(address: Address, error: OSError) -> str:
    return f"cannot listen for peers on {address}: {error.strerror}; free the port or change `listen` in node.toml"
