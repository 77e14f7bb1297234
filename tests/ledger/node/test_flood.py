"""A Byzantine authority floods a real node with frames of every kind; others move house meanwhile. Nobody restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import count, cycle
from pathlib import Path
from threading import Event

from hil.ports import free_ports
from ledger import transaction
from ledger.block import MAX_BLOCK_BYTES, Commit
from ledger.consensus.effects import Step
from ledger.consensus.messages import Proposal, Vote, sign
from ledger.consensus.status import Status
from ledger.envelope import Kind
from ledger.node import settings
from ledger.node.network import peers, wire
from ledger.node.network.wire import CosignatureReport, Frame, FrameType, NodeReport
from ledger.node.reporting.results import Result
from ledger.remote.client import LedgerClient
from ledger.transaction import Call
from tests.ledger.node.network import NAMES, OTHER, USER, Network, account_key, until

VICTIM, ROGUE = 0, 3
FLOOD_S = 3.0
MAX_GROWTH_BYTES = 192 * 2**20
"""What a peer may make a node keep: blocks of the next heights and blocks on offer, 2 MiB each, and their copies."""


class Rogue:
    """The fourth authority: its own certificate and keys, and no scruples."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.chain_id = network.genesis.chain_id
        self.key = settings.read_key(network.directory(ROGUE) / "vote.key")
        self.sent: Counter[FrameType] = Counter()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.load_verify_locations(network.root / "ca.crt")
        self.context.load_cert_chain(network.directory(ROGUE) / "tls.crt", network.directory(ROGUE) / "tls.key")

    def well_formed(self) -> Iterator[Frame]:
        """Yield, for ever, frames that decode and that a node would have to keep, or work for."""
        body = os.urandom(MAX_BLOCK_BYTES - 1024)
        call = Call("money", "transfer", (OTHER, 1))
        calls = [
            transaction.sign(self.chain_id, USER, 10**6 + nonce, 10**6, call, account_key(USER)) for nonce in range(500)
        ]
        result = Result(os.urandom(32), 1, bytes(32), 1, bytes(32), (), (), (body,), ()).encode()
        for number in count(1):
            vote, block_id = Vote(Kind.PREVOTE, 1 + number % 3, number, os.urandom(32)), os.urandom(32)
            proposal = Proposal(1 + number % 2, 4 * number + ROGUE, -1, block_id)
            votes = tuple(((round_, Kind.PREVOTE, block_id), (0, 1, 2, 3)) for round_ in range(1000))
            yield wire.report(NodeReport(Status(2**60, number, Step.PREVOTE, frozenset(), votes), 2**60, 0))
            yield wire.message(sign(vote, self.chain_id, ROGUE, self.key).raw)
            yield wire.proposal(sign(proposal, self.chain_id, ROGUE, self.key).raw, body)
            yield wire.candidate(block_id, body)
            yield wire.decided(
                body, Commit(1 + number % 32, 0, block_id, ((0, bytes(64)), (1, bytes(64)), (2, bytes(64))))
            )
            yield wire.wanted(1, block_id)
            yield wire.block_range(1, 2**40)
            yield wire.result_wanted(1, block_id)
            yield wire.result(result)
            yield from wire.transactions(calls)
            yield wire.cosignature(CosignatureReport(2**40 + number, number % 4, os.urandom(76)))
            yield wire.address("127.0.0.1", 1 + number % 1000)

    def malformed(self) -> Iterator[Frame]:
        kinds = [kind for kind in FrameType if kind is not FrameType.HELLO]
        return (Frame(kind, os.urandom(40)) for kind in cycle(kinds))

    @contextlib.asynccontextmanager
    async def flooding(self, frames: Iterator[Frame]) -> AsyncIterator[None]:
        """Write in a thread as fast as the victim reads, while the body runs; when it hangs up, dial again."""
        ended = Event()
        working = asyncio.create_task(asyncio.to_thread(self._flood, frames, ended))
        try:
            yield
        finally:
            ended.set()
            await working

    async def has_flooded(self, since_s: float) -> bool:
        """Tell whether it has gone on long enough, and with every kind of frame."""
        return time.monotonic() > since_s + FLOOD_S and len(self.sent) == 12 and min(self.sent.values()) >= 2

    def _flood(self, frames: Iterator[Frame], ended: Event) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                self._write(frames, ended)

    def _write(self, frames: Iterator[Frame], ended: Event) -> None:
        address = ("127.0.0.1", self.network.peer_ports[VICTIM])
        with socket.create_connection(address, 1) as plain, self.context.wrap_socket(plain) as link:
            link.sendall(encode(wire.hello(peers.PROTOCOL, self.chain_id, NAMES[ROGUE])))
            for frame in frames:
                if ended.is_set():
                    return
                self.sent[frame.kind] += 1
                link.sendall(encode(frame))


def encode(frame: Frame) -> bytes:
    return (len(frame.payload) + 1).to_bytes(4, "big") + bytes([frame.kind]) + frame.payload


def resident_bytes(network: Network, place: int, field: str = "VmHWM") -> int:
    text = Path(f"/proc/{network.processes[place].pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


async def move(network: Network, place: int, others: tuple[int, ...]) -> None:
    """Let a node listen elsewhere, and tell the others, while all of them run."""
    (port,), old = free_ports(1), network.peer_ports[place]
    network.rewrite(place, f'listen = "127.0.0.1:{old}"', f'listen = "127.0.0.1:{port}"')
    await network.logs(place, "settings read again")
    for other in others:
        network.rewrite(other, f'address = "127.0.0.1:{old}"', f'address = "127.0.0.1:{port}"')
        await network.logs(other, "settings read again")
    network.peer_ports[place] = port


async def transfer(network: Network, client: LedgerClient) -> None:
    """Decide a block, for which all three correct nodes are needed."""
    receipt = await network.account(client).call_and_wait("money", "transfer", OTHER, 1)
    assert receipt.code == 0


async def test_a_flood_is_bounded_and_cut_off_while_a_node_moves_and_nobody_restarts(network: Network) -> None:
    correct = (0, 1, 2)
    for place in correct:
        network.start(place)
    await network.ready(*correct)
    rogue = Rogue(network)
    async with network.client(1) as client:
        await transfer(network, client)
        before = resident_bytes(network, VICTIM, "VmRSS")
        async with rogue.flooding(rogue.well_formed()):
            began_s = time.monotonic()
            await move(network, 2, (0, 1))
            await transfer(network, client)
            await until(partial(rogue.has_flooded, began_s), "every kind of frame is sent")
        await transfer(network, client)
        growth = resident_bytes(network, VICTIM) - before
        print(f"sent {dict(rogue.sent)}")
        print(f"the flooded node grew by {growth / 2**20:.0f} MiB at most, from {before / 2**20:.0f} MiB")
        assert growth < MAX_GROWTH_BYTES
        async with rogue.flooding(rogue.malformed()):
            await network.logs(VICTIM, "peer cut off")
        network.rewrite(1, "[keys]", "nonsense")
        await network.logs(1, "the settings are not taken over")
        await transfer(network, client)
    for place in correct:
        assert "Traceback" not in network.log(place)
        assert network.stop(place) == 0
