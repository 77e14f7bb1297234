"""Links to the other authorities: mutually authenticated TLS over TCP, one outgoing link per peer.

A node writes only on the links that it dialled and reads only on those that it accepted, so two nodes share two
links and nothing has to be agreed about who dials. A frame is `length u32 ‖ type u8 ‖ payload`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger import cbor
from ledger.errors import LedgerError, MalformedError
from ledger.node import wire
from ledger.node.addresses import Address
from ledger.node.settings import NodeSettings, PeerAddress, SettingsError, TlsFiles
from ledger.node.wire import Frame, FrameType

MAX_QUEUED_FRAMES: Final = 4096
MAX_QUEUED_BYTES: Final = 16 * 2**20
FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 15.0
PROTOCOL: Final = 1
_LENGTH_BYTES: Final = 4

log = structlog.get_logger("peers")


class PeerFaultError(LedgerError):
    """A peer broke the protocol: its link is closed, and its operator must act."""


Handler = Callable[[str, Frame], None]
"""Called in the loop with the authenticated name of the sender; it must not block."""

Greet = Callable[[str], None]
"""Called when the link to the peer of this name has come up, to queue what it may lack."""


@dataclass(slots=True)
class Outbox:
    """Frames that wait for one link. When it is full the *oldest* go: whatever matters is sent again on status."""

    frames: deque[Frame] = field(default_factory=deque)
    size: int = 0
    dropped: int = 0
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: Frame) -> None:
        """Queue *frame*, dropping and counting the oldest ones beyond the limits."""
        self.frames.append(frame)
        self.size += len(frame.payload)
        while len(self.frames) > MAX_QUEUED_FRAMES or self.size > MAX_QUEUED_BYTES:
            self.size -= len(self.frames.popleft().payload)
            self.dropped += 1
        self.filled.set()

    def take(self) -> Iterable[Frame]:
        """Return all queued frames, leaving none."""
        frames, self.frames, self.size = self.frames, deque(), 0
        self.filled.clear()
        return frames


@dataclass(slots=True)
class Peer:
    """One other authority: where it listens, what waits for it, and what it last said of itself."""

    address: PeerAddress
    outbox: Outbox = field(default_factory=Outbox)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    linked: bool = False
    reading: asyncio.Task[None] | None = None
    height: int = 0


class Peers:
    """All links of one node. `send` never blocks and never fails: a peer that is away loses its oldest frames."""

    def __init__(self, settings: NodeSettings, chain_id: bytes, handler: Handler, greet: Greet) -> None:
        self._listen = settings.listen
        self._hello = wire.hello(PROTOCOL, chain_id, settings.name)
        self._chain_id = chain_id
        self._handler = handler
        self._greet = greet
        self._server_context, self._client_context = _contexts(settings.tls)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self.by_name = {peer.name: Peer(peer) for peer in settings.peers}

    async def open(self) -> None:
        """Listen and start dialling; raises SettingsError where the address cannot be had."""
        try:
            self._server = await asyncio.start_server(
                self._accept,
                self._listen.host,
                self._listen.port,
                ssl=self._server_context,
                ssl_handshake_timeout=CONNECT_TIMEOUT_S,
            )
        except OSError as error:
            raise SettingsError(_listen_fault(self._listen, error)) from error
        for peer in self.by_name.values():
            self._spawn(self._dial(peer))

    async def close(self) -> None:
        """Close every link at once; frames that wait are dropped, the protocol sends them again."""
        self._is_closing = True
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, name: str, frame: Frame) -> None:
        """Queue a frame for one peer. For one without a link nothing is kept: it asks when it is back."""
        peer = self.by_name[name]
        if peer.linked:
            peer.outbox.put(frame)

    def broadcast(self, frame: Frame) -> None:
        """Queue a frame for every linked peer."""
        for name in self.by_name:
            self.send(name, frame)

    def _spawn(self, coroutine: object) -> None:
        task = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a link is given up; restart the node", exc_info=error)

    async def _dial(self, peer: Peer) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            peer.wanted.clear()
            try:
                await self._write_link(peer)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, PeerFaultError) as error:
                log.debug("link failed", peer=peer.address.name, error=str(error))
            if peer.linked:
                peer.linked, backoff_s = False, FIRST_BACKOFF_S
                log.info("link down", peer=peer.address.name)
            backoff_s = await _back_off(peer, backoff_s)

    async def _write_link(self, peer: Peer) -> None:
        address = peer.address.address
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=self._client_context, server_hostname=peer.address.name
            )
        try:
            _require_name(writer, peer.address.name)
            _write(writer, self._hello)
            peer.outbox.take()
            peer.linked = True
            log.info("link up", peer=peer.address.name)
            self._greet(peer.address.name)
            await _first_done(_pump(peer.outbox, writer), _until_closed(reader))
        finally:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closing:  # its handshake ended in the step in which we closed: no task of ours knew it yet
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        name = _peer_name(writer)
        try:
            await self._read_link(name, reader)
        except (PeerFaultError, MalformedError) as error:
            log.warning("peer refused", peer=name, error=str(error))
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError) as error:
            log.debug("incoming link closed", peer=name, error=repr(error))
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read_link(self, name: str, reader: asyncio.StreamReader) -> None:
        peer = self.by_name.get(name)
        if peer is None:
            raise PeerFaultError(f"{name!r} is not an authority of this chain")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            hello = await _read(reader)
        if hello.kind is not FrameType.HELLO or cbor.decode(hello.payload) != [PROTOCOL, self._chain_id, name]:
            raise PeerFaultError(f"{name} speaks another protocol, or for another chain: compare the genesis files")
        self._replace_reader(peer)
        peer.wanted.set()
        while True:
            async with asyncio.timeout(SILENCE_TIMEOUT_S):
                frame = await _read(reader)
            self._handler(name, frame)

    def _replace_reader(self, peer: Peer) -> None:
        """Read one link per peer: a new one ends the one before, which may be long dead."""
        if peer.reading is not None:
            peer.reading.cancel()
        peer.reading = asyncio.current_task()


async def _back_off(peer: Peer, backoff_s: float) -> float:
    """Wait before the next attempt, less if the peer shows itself by linking to us; return the next wait.

    `asyncio.timeout`, because `wait_for` before Python 3.12 loses a cancellation that meets its result.
    """
    await asyncio.sleep(FIRST_BACKOFF_S)
    try:
        async with asyncio.timeout(backoff_s):
            await peer.wanted.wait()
    except TimeoutError:
        return min(backoff_s * 2, MAX_BACKOFF_S)
    return FIRST_BACKOFF_S


async def _pump(outbox: Outbox, writer: asyncio.StreamWriter) -> None:
    while True:
        await outbox.filled.wait()
        for frame in outbox.take():
            _write(writer, frame)
        await writer.drain()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    if await reader.read(1):
        raise PeerFaultError("the peer wrote on a link that it only reads")


async def _first_done(*coroutines: object) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]  # type: ignore[call-overload]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _write(writer: asyncio.StreamWriter, frame: Frame) -> None:
    head = (len(frame.payload) + 1).to_bytes(_LENGTH_BYTES, "big") + bytes([frame.kind])
    writer.write(head + frame.payload)


async def _read(reader: asyncio.StreamReader) -> Frame:
    size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big") - 1
    if not 0 <= size <= max(wire.MAX_PAYLOAD_BYTES.values()):
        raise PeerFaultError(f"a frame with {size} bytes")
    number = (await reader.readexactly(1))[0]
    if number not in FrameType._value2member_map_:
        raise PeerFaultError(f"a frame of unknown type {number}")
    kind = FrameType(number)
    if size > wire.MAX_PAYLOAD_BYTES[kind]:
        raise PeerFaultError(f"a {kind.name} frame with {size} bytes; at most {wire.MAX_PAYLOAD_BYTES[kind]} are read")
    return Frame(kind, await reader.readexactly(size))


def _require_name(writer: asyncio.StreamWriter, name: str) -> None:
    found = _peer_name(writer)
    if found != name:
        raise PeerFaultError(f"dialled {name}, but {found!r} answers there: mend the address in node.toml")


def _peer_name(writer: asyncio.StreamWriter) -> str:
    """Return the common name in the peer's certificate, which the campus CA signed."""
    subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else ""


def _contexts(files: TlsFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    contexts = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(files.ca)
            context.load_cert_chain(files.cert, files.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"cannot use the TLS files {files.ca}, {files.cert}, {files.key}: {error}") from error
        contexts.append(context)
    return contexts[0], contexts[1]


def _listen_fault(address: Address, error: OSError) -> str:
    return f"cannot listen for peers on {address}: {error.strerror}; free the port or change `listen` in node.toml"
