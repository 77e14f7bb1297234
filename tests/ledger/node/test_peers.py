"""Links between nodes: only authorities with a certificate of the campus CA, within limits, and back after a loss."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from hil.ports import free_ports
from ledger.authority import AuthoritySet
from ledger.node import settings
from ledger.node.chain import Position
from ledger.node.network import peers as node_peers
from ledger.node.network import wire
from ledger.node.network.conduct import BURST_S, QUOTAS, Fault
from ledger.node.network.peers import Peers
from ledger.node.network.standing import Standing
from ledger.node.network.wire import CosignatureReport, Frame, FrameType
from ledger.node.settings import SettingsError
from ledger.runtime import Runtime
from tests.ledger.node.network import NAMES, CertificateAuthority, Network, make_network, until


@dataclass
class Station:
    """One node's links, what came over them, and the authorities of its chain."""

    network: Network
    authorities: AuthoritySet
    came: list[tuple[str, Frame]] = field(default_factory=list)
    peers: Peers = field(init=False)
    standing: Standing = field(init=False)

    def position(self) -> Position:
        """Return where its chain stands: always at the genesis."""
        state = Runtime(self.network.genesis).genesis_state()
        return Position(
            state.header, self.authorities, None, {1: self.authorities}, self.network.genesis.parameters, None
        )


def make_station(network: Network, place: int, chain_id: bytes | None = None) -> Station:
    read = settings.load(network.directory(place) / "node.toml")
    made = Station(network, network.genesis.authorities)
    made.standing = Standing(made.position, [peer.name for peer in read.peers])
    made.peers = Peers(
        read,
        chain_id or network.genesis.chain_id,
        lambda *frame: made.came.append(frame),
        lambda _: None,
        made.standing,
    )
    return made


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

    await until(is_linked, f"linked to {name}")


async def received(station: Station, count: int) -> None:
    async def is_there() -> bool:
        return len(station.came) >= count

    await until(is_there, f"{count} frames")


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

    await until(is_down, "the loss is noticed")
    again = make_station(campus, 1)
    await again.peers.open()
    await linked(first, NAMES[1])
    first.peers.broadcast(wire.message(b"back"))
    await received(again, 1)
    await again.peers.close()


async def test_a_node_of_another_chain_is_not_listened_to_and_told_once(campus: Network) -> None:
    """Its link is closed at once: it dials less and less often, and says only once what to look at."""
    here, other = make_station(campus, 0), make_station(campus, 1, b"elsewhere"[:8])
    await here.peers.open()
    with structlog.testing.capture_logs() as told:

        async def is_refused_often() -> bool:
            other.peers.send(NAMES[0], wire.message(b"hello?"))
            return len([one for one in told if (one["event"], one["peer"]) == ("peer refused", NAMES[1])]) >= 4

        started = time.monotonic()
        await other.peers.open()
        await until(is_refused_often, "the fourth attempt is refused")
    assert time.monotonic() - started >= sum(node_peers.FIRST_BACKOFF_S * (1 + 2**number) for number in range(3))
    assert here.came == []
    links_told = [one for one in told if one["event"].startswith("link") and one["log_level"] == "info"]
    assert {one["peer"]: one["event"] for one in links_told} == dict.fromkeys(NAMES[:2], "link closed at once")
    assert len(links_told) == 2, "each says it once"
    assert "its log says why" in links_told[0]["remedy"]
    await here.peers.close()
    await other.peers.close()


async def test_a_link_that_held_is_told_of_as_up_and_as_down(campus: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_peers, "HELD_S", 0.01)
    here, other = make_station(campus, 0), make_station(campus, 1)
    await here.peers.open()
    with structlog.testing.capture_logs() as told:
        await other.peers.open()
        for expected in ("link up", "link down"):

            async def is_told(expected: str = expected) -> bool:
                return expected in [one["event"] for one in told if one.get("peer") == NAMES[0]]

            await until(is_told, expected)
            await here.peers.close()
    assert not other.peers.by_name[NAMES[0]].is_refused
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
        await assert_cut_off(
            campus, directory, encode(wire.hello(node_peers.PROTOCOL, campus.genesis.chain_id, NAMES[1]))
        )
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
    hello = encode(wire.hello(node_peers.PROTOCOL, campus.genesis.chain_id, NAMES[1]))
    if data[:1] != b"\x00" or data[4:5] in (b"\x01", b"\xee"):
        await assert_cut_off(campus, campus.directory(1), hello + data)
    assert station.came == []
    await station.peers.close()


def encode(frame: Frame) -> bytes:
    return (len(frame.payload) + 1).to_bytes(4, "big") + bytes([frame.kind]) + frame.payload


async def test_closing_ends_the_links_even_when_a_peer_shows_itself_at_that_moment(campus: Network) -> None:
    """A dialling task that is cancelled in the very step in which it is woken must end, not dial on."""
    station = make_station(campus, 0)
    await station.peers.open()

    async def is_waiting() -> bool:
        return all(peer.wanted._waiters for peer in station.peers.by_name.values())

    await until(is_waiting, "every link waits for its next attempt")
    for peer in station.peers.by_name.values():
        peer.wanted.set()
    async with asyncio.timeout(10):
        await station.peers.close()


async def arrives(sender: Station, receiver: Station) -> None:
    """Send to the first node until something comes: the sender may not have noticed yet that its link is gone."""

    async def is_there() -> bool:
        sender.peers.send(NAMES[0], wire.message(b"hello"))
        return receiver.came != []

    await until(is_there, "a frame comes through")


async def unlinked(station: Station, name: str) -> None:
    async def is_unlinked() -> bool:
        return not station.peers.by_name[name].linked

    await until(is_unlinked, f"no link to {name}")


def rewrite(network: Network, place: int, before: str, after: str) -> settings.NodeSettings:
    """Replace a text in a node's settings and return them."""
    file = network.directory(place) / "node.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    return settings.load(file)


async def test_a_peer_that_moved_is_linked_again_once_the_settings_are_read_again(
    campus: Network, pair: tuple[Station, Station]
) -> None:
    first, second = pair
    await linked(first, NAMES[1])
    (port,), old = free_ports(1), campus.peer_ports[1]
    await second.peers.reload(rewrite(campus, 1, f'listen = "127.0.0.1:{old}"', f'listen = "127.0.0.1:{port}"'))
    first.peers.send(NAMES[1], wire.message(b"the link that there was goes on"))
    await received(second, 1)
    await first.peers.reload(rewrite(campus, 0, f'address = "127.0.0.1:{old}"', f'address = "127.0.0.1:{port}"'))
    await linked(first, NAMES[1])
    first.peers.send(NAMES[1], wire.message(b"there"))
    await received(second, 2)
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", old)


async def test_an_address_that_cannot_be_had_changes_nothing(campus: Network, pair: tuple[Station, Station]) -> None:
    first, second = pair
    await linked(second, NAMES[0])
    taken = rewrite(
        campus, 0, f'listen = "127.0.0.1:{campus.peer_ports[0]}"', f'listen = "127.0.0.1:{campus.peer_ports[1]}"'
    )
    with pytest.raises(SettingsError, match="cannot listen for peers"):
        await first.peers.reload(taken)
    second.peers.send(NAMES[0], wire.message(b"still here"))
    await received(first, 1)
    _, writer = await dial(campus, campus.directory(2))
    writer.close()


async def test_a_peer_that_is_no_longer_named_keeps_its_link_only_while_the_chain_knows_it(campus: Network) -> None:
    stations = make_station(campus, 0), make_station(campus, 1)
    here, other = stations
    for station in stations:
        await station.peers.open()
    await linked(here, NAMES[1])
    entry = f'[[peers]]\nname = "{NAMES[1]}"\naddress = "127.0.0.1:{campus.peer_ports[1]}"\n'
    without = rewrite(campus, 0, entry, "")
    here.standing.named = frozenset(peer.name for peer in without.peers)
    await here.peers.reload(without)
    await unlinked(here, NAMES[1])
    await arrives(other, here)
    here.came.clear()
    here.authorities = AuthoritySet(tuple(one for one in campus.genesis.authorities.members if one.name != NAMES[1]))
    other.peers.send(NAMES[0], wire.message(b"I was one"))
    await unlinked(other, NAMES[0])
    assert here.came == []
    for station in stations:
        await station.peers.close()


async def test_who_is_named_but_no_authority_has_no_say_in_consensus(
    campus: Network, pair: tuple[Station, Station]
) -> None:
    first, second = pair
    await linked(second, NAMES[0])
    first.authorities = AuthoritySet(tuple(one for one in campus.genesis.authorities.members if one.name != NAMES[1]))
    for frame in (
        wire.message(b"vote"), wire.proposal(b"a", b"b"), wire.candidate(bytes(32), b""),
        wire.cosignature(CosignatureReport(1, 1, b"")), wire.block_range(1, 2),
    ):  # fmt: skip
        second.peers.send(NAMES[0], frame)
    await received(first, 1)
    assert [frame.kind for _, frame in first.came] == [FrameType.RANGE]


async def test_a_peer_says_itself_where_it_is(campus: Network) -> None:
    """Nobody else edits a file: the one that moved dials the others, and tells them."""
    here, moved = make_station(campus, 0), None
    await here.peers.open()
    (port,) = free_ports(1)
    rewrite(campus, 1, f'listen = "127.0.0.1:{campus.peer_ports[1]}"',
            f'listen = "127.0.0.1:{port}"\nannounce = "127.0.0.1:{port}"')  # fmt: skip
    moved = make_station(campus, 1)
    await moved.peers.open()
    await linked(here, NAMES[1])
    here.peers.send(NAMES[1], wire.message(b"found you"))
    await received(moved, 1)
    for station in (here, moved):
        await station.peers.close()


def serial_of(writer: asyncio.StreamWriter) -> str:
    return str((writer.get_extra_info("peercert") or {})["serialNumber"])


async def test_a_certificate_is_replaced_under_a_running_node(campus: Network, pair: tuple[Station, Station]) -> None:
    first, second = pair
    await linked(first, NAMES[1])
    await linked(second, NAMES[0])
    _, writer = await dial(campus, campus.directory(2))
    before = serial_of(writer)
    writer.close()
    directory = campus.directory(0)
    campus.certificates.issue(NAMES[0], directory / "tls.crt", directory / "tls.key")
    await first.peers.reload(settings.load(directory / "node.toml"))
    _, writer = await dial(campus, campus.directory(2))
    assert serial_of(writer) != before
    writer.close()
    await linked(first, NAMES[1])
    await arrives(second, first)
    (directory / "tls.key").write_text("nonsense")
    with pytest.raises(SettingsError, match="cannot use the TLS files"):
        await first.peers.reload(settings.load(directory / "node.toml"))
    first.came.clear()
    await arrives(second, first)


async def test_a_peer_with_too_many_faults_is_cut_off_and_the_others_are_not(
    campus: Network, pair: tuple[Station, Station]
) -> None:
    first, second = pair
    await linked(second, NAMES[0])
    while not first.peers.by_name[NAMES[1]].conduct.is_cut_off(time.monotonic()):
        first.peers.blame(NAMES[1], Fault.BAD_SIGNATURE)
    await unlinked(second, NAMES[0])
    second.peers.send(NAMES[0], wire.message(b"let me in"))
    hello = encode(wire.hello(node_peers.PROTOCOL, campus.genesis.chain_id, NAMES[1]))
    await assert_cut_off(campus, campus.directory(1), hello)
    assert first.came == []
    reader, writer = await dial(campus, campus.directory(2))
    writer.write(encode(wire.hello(node_peers.PROTOCOL, campus.genesis.chain_id, NAMES[2])))
    writer.write(encode(wire.message(b"not my fault")))
    await received(first, 1)
    writer.close()
    del reader


async def test_who_breaks_the_protocol_once_too_often_is_cut_off_without_a_fault_of_this_node(campus: Network) -> None:
    """The task that reads the link must not cancel itself: the event loop would report that as an error, at length."""
    station, errors = make_station(campus, 0), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["message"]))
    await station.peers.open()
    hello = encode(wire.hello(node_peers.PROTOCOL, campus.genesis.chain_id, NAMES[1]))
    while not (peer := station.peers.by_name[NAMES[1]]).conduct.is_cut_off(time.monotonic()):
        await assert_cut_off(campus, campus.directory(1), hello + b"\x00\x00\x00\x01\xee")
    await station.peers.close()
    assert peer.conduct.faults.keys() == {Fault.PROTOCOL}
    assert errors == []


async def test_a_peer_that_floods_is_read_at_its_quota(campus: Network, pair: tuple[Station, Station]) -> None:
    first, second = pair
    await linked(second, NAMES[0])
    burst = int(QUOTAS[FrameType.RANGE].frames * BURST_S)
    for _ in range(burst + 30):
        second.peers.send(NAMES[0], wire.block_range(1, 1))
    started = time.monotonic()
    await received(first, burst + 30)
    assert time.monotonic() - started >= 25 / QUOTAS[FrameType.RANGE].frames
    assert first.peers.by_name[NAMES[1]].conduct.delays > 0


async def test_a_link_is_closed_where_it_is_silent_and_no_sooner(
    campus: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_peers, "SILENCE_TIMEOUT_S", 3.0)
    monkeypatch.setattr(node_peers, "SILENCE_STEP_S", 0.1)
    first, second = make_station(campus, 0), make_station(campus, 1)
    for station in (first, second):
        await station.peers.open()
    await linked(second, NAMES[0])
    second.peers.send(NAMES[0], wire.block_range(1, 1))
    await received(first, 1)
    reading, until_s = first.peers.by_name[NAMES[1]].reading, time.monotonic() + 5
    assert reading is not None
    while time.monotonic() < until_s:
        second.peers.send(NAMES[0], wire.block_range(1, 1))
        await received(first, len(first.came) + 1)
        assert not reading.done()

    async def is_closed() -> bool:
        return reading.done()

    await until(is_closed, "the silent link is closed", 10)
    for station in (first, second):
        await station.peers.close()
