"""Links between nodes: only authorities with a certificate of the campus CA, within limits, and back after a loss."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from ledger.node import peers as links
from ledger.node import settings, wire
from ledger.node.peers import Outbox, Peers
from ledger.node.wire import Frame, FrameType
from tests.ledger.node.network import NAMES, CertificateAuthority, Network, make_network, until


@dataclass
class Station:
    """One node's links, and what came over them."""

    peers: Peers
    came: list[tuple[str, Frame]] = field(default_factory=list)


def make_station(network: Network, place: int, chain_id: bytes | None = None) -> Station:
    read = settings.load(network.directory(place) / "node.toml")
    came: list[tuple[str, Frame]] = []
    peers = Peers(read, chain_id or network.genesis.chain_id, lambda *frame: came.append(frame), lambda _: None)
    return Station(peers, came)


@pytest.fixture
def campus(tmp_path: Path) -> Network:
    return make_network(tmp_path)


@pytest_asyncio.fixture
async def pair(campus: Network) -> AsyncIterator[tuple[Station, Station]]:
    stations = make_station(campus, 0), make_station(campus, 1)
    for station in stations:
        await station.peers.open()
    yield stations
    for station in stations:
        await station.peers.close()


async def linked(station: Station, name: str) -> None:
    async def is_linked() -> bool:
        return station.peers.by_name[name].linked

    await until(is_linked, f"linked to {name}", 10)


async def received(station: Station, count: int) -> None:
    async def is_there() -> bool:
        return len(station.came) >= count

    await until(is_there, f"{count} frames", 10)


async def test_frames_arrive_in_order_under_the_name_in_the_certificate(pair: tuple[Station, Station]) -> None:
    first, second = pair
    await linked(first, NAMES[1])
    frames = [frame for number in range(1, 101) for frame in wire.transactions([bytes([number]) * 1000 * number])]
    for frame in frames:
        first.peers.send(NAMES[1], frame)
    await received(second, 100)
    assert second.came == [(NAMES[0], frame) for frame in frames]


async def test_a_peer_that_restarts_is_linked_again(campus: Network, pair: tuple[Station, Station]) -> None:
    first, second = pair
    await linked(first, NAMES[1])
    await second.peers.close()

    async def is_down() -> bool:
        return not first.peers.by_name[NAMES[1]].linked

    await until(is_down, "the loss is noticed", 5)
    again = make_station(campus, 1)
    await again.peers.open()
    await linked(first, NAMES[1])
    first.peers.broadcast(wire.message(b"back"))
    await received(again, 1)
    await again.peers.close()


async def test_a_node_of_another_chain_is_not_listened_to(campus: Network) -> None:
    here, other = make_station(campus, 0), make_station(campus, 1, b"elsewhere"[:8])
    await here.peers.open()
    await other.peers.open()
    await linked(other, NAMES[0])
    other.peers.send(NAMES[0], wire.message(b"hello?"))

    async def is_dropped() -> bool:
        return not other.peers.by_name[NAMES[0]].linked

    await until(is_dropped, "the link is closed", 5)
    assert here.came == []
    await here.peers.close()
    await other.peers.close()


async def dial(campus: Network, directory: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(campus.root / "ca.crt")
    if (directory / "tls.crt").exists():
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return await asyncio.open_connection("127.0.0.1", campus.peer_ports[0], ssl=context)


async def assert_cut_off(campus: Network, directory: Path, data: bytes) -> None:
    """Dial the first node, write *data*, and wait until it hangs up."""
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        reader, writer = await dial(campus, directory)
        writer.write(data)
        async with asyncio.timeout(10):
            await reader.readexactly(1)


async def test_strangers_are_cut_off_and_the_node_goes_on(campus: Network, tmp_path: Path) -> None:
    station = make_station(campus, 0)
    await station.peers.open()
    nobody, forger, outsider = tmp_path / "nobody", tmp_path / "forger", tmp_path / "outsider"
    for directory in (nobody, forger, outsider):
        directory.mkdir()
    CertificateAuthority.make(forger / "ca.crt").issue(NAMES[1], forger / "tls.crt", forger / "tls.key")
    campus.certificates.issue("gateway", outsider / "tls.crt", outsider / "tls.key")
    for directory in (nobody, forger, outsider):
        await assert_cut_off(campus, directory, encode(wire.hello(links.PROTOCOL, campus.genesis.chain_id, NAMES[1])))
    assert station.came == []
    await station.peers.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\xee",
        b"\x00\x00\x00\x02\x00\xff",
        b"\x00\x00\x01\x02\x01",  # a consensus message that is too long
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_an_authority_that_writes_nonsense_is_cut_off(campus: Network, data: bytes) -> None:
    station = make_station(campus, 0)
    await station.peers.open()
    await assert_cut_off(campus, campus.directory(1), data)
    hello = encode(wire.hello(links.PROTOCOL, campus.genesis.chain_id, NAMES[1]))
    if data[:1] != b"\x00" or data[4:5] in (b"\x01", b"\xee"):
        await assert_cut_off(campus, campus.directory(1), hello + data)
    assert station.came == []
    await station.peers.close()


def encode(frame: Frame) -> bytes:
    return (len(frame.payload) + 1).to_bytes(4, "big") + bytes([frame.kind]) + frame.payload


def test_a_full_outbox_drops_the_oldest_and_counts_them() -> None:
    outbox = Outbox()
    for number in range(links.MAX_QUEUED_FRAMES + 3):
        outbox.put(Frame(FrameType.MESSAGE, number.to_bytes(4, "big")))
    frames = list(outbox.take())
    assert outbox.dropped == 3
    assert frames[0].payload == (3).to_bytes(4, "big")
    assert len(frames) == links.MAX_QUEUED_FRAMES


def test_an_outbox_is_bounded_in_bytes_too() -> None:
    outbox = Outbox()
    for _ in range(10):
        outbox.put(Frame(FrameType.PROPOSAL, bytes(links.MAX_QUEUED_BYTES // 4)))
    assert outbox.dropped == 6


async def test_closing_ends_the_links_even_when_a_peer_shows_itself_at_that_moment(campus: Network) -> None:
    """A dialling task that is cancelled in the very step in which it is woken must end, not dial on."""
    station = make_station(campus, 0)
    await station.peers.open()

    async def is_waiting() -> bool:
        return all(peer.wanted._waiters for peer in station.peers.by_name.values())

    await until(is_waiting, "every link waits for its next attempt", 10)
    for peer in station.peers.by_name.values():
        peer.wanted.set()
    async with asyncio.timeout(10):
        await station.peers.close()
