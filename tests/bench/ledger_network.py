"""Four real nodes under measurement: what they decided and when, by their logs, and what it cost them, by /proc.

Nothing is asked of the nodes while they work, so that the measuring costs them nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from ledger import keys
from ledger.genesis import GenesisAccount, Parameters, Role
from tests.bench.measure import spent_s
from tests.ledger.node.network import NAMES, Network, make_network

VERIFICATIONS = 4_000
CORES = 2
FIRST_ACCOUNT = 0xBB00000000000000
MAX_WAITING = 10_000
"""So many transactions are on their way at most: half of what a mempool holds."""
PATIENCE_S = 240.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Decided:
    """A block as a node's log tells of it: when (Unix time) it was final there, and how many transactions it has."""

    height: int
    transactions: int
    at_s: float


@dataclass(slots=True)
class Watch:
    """Reads what one node writes to its log."""

    path: Path
    _place: int = 0

    def decided(self) -> list[Decided]:
        """Return the blocks decided since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._place)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        entries = [json.loads(line) for line in whole.splitlines() if b'"event": "decided"' in line]
        return [Decided(entry["height"], entry["transactions"], _unix_s(entry["timestamp"])) for entry in entries]


@contextlib.asynccontextmanager
async def running(parameters: Parameters, roles: Sequence[Role] = (), age_s: int = 10) -> AsyncIterator[Network]:
    """Start four nodes whose genesis, *age_s* old, has an account more for each of *roles*: `account(0)` and so on."""
    with tempfile.TemporaryDirectory() as folder:
        more = [
            GenesisAccount(account(number), account_key(number).public_key, role, 10**24)
            for number, role in enumerate(roles)
        ]
        network = make_network(Path(folder) / "campus", parameters, more_accounts=more, age_s=age_s)
        try:
            for place in range(len(NAMES)):
                network.start(place)
            await network.ready()
            yield network
        finally:
            for place in list(network.processes):
                network.stop(place, signal.SIGKILL)


def account(number: int) -> bytes:
    """Return the id of a bench account."""
    return (FIRST_ACCOUNT + number).to_bytes(8, "big")


def account_key(number: int) -> keys.PrivateKey:
    """Return its key."""
    return keys.PrivateKey(account(number) * 4)


def processor_s(network: Network) -> float:
    """Return the processor time that the nodes have taken so far."""
    return spent_s(process.pid for process in network.processes.values())


def verification_s(message: bytes) -> float:
    """Return the processor time of one signature's check over a message of that length: what a ceiling is made of."""
    key = keys.PrivateKey(os.urandom(keys.SEED_BYTES))
    signature = key.sign(message)
    start_s = time.process_time()
    for _ in range(VERIFICATIONS):
        keys.verify(key.public_key, message, signature)
    return (time.process_time() - start_s) / VERIFICATIONS


async def submit_all(network: Network, raws: Sequence[bytes], waiting: Backlog, batch: int) -> None:
    """Submit *raws*, so many in a request, each node's share in order, no faster than blocks take them up."""
    batches = [raws[start : start + batch] for start in range(0, len(raws), batch)]
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        shares = [batches[place :: len(NAMES)] for place in range(len(NAMES))]
        await asyncio.gather(*(map(_submit_share, [client] * len(NAMES), network.urls, shares, [waiting] * len(NAMES))))


async def post(client: httpx.AsyncClient, url: str, raws: Sequence[bytes]) -> None:
    """Submit *raws* to the node at *url* in one request; raises ValueError where one is refused."""
    body = {"transactions": [base64.b64encode(raw).decode() for raw in raws]}
    answer = (await client.post(f"{url}/v1/transactions/bulk", json=body)).raise_for_status()
    for one in answer.json()["answers"]:
        if one["code"] is not None:
            raise ValueError(f"a transaction was refused: {one['detail']} ({one['code']})")


def decided_at(network: Network, place: int) -> dict[int, float]:
    """Return when (Unix time) each height was final at a node."""
    return {block.height: block.at_s for block in Watch(network.directory(place) / "node.log").decided()}


class Backlog:
    """How many transactions were submitted and are not final yet, by the log of one node."""

    def __init__(self, network: Network) -> None:
        self._watch = Watch(network.directory(0) / "node.log")
        self._watch.decided()
        self.submitted = self.final = 0
        self.blocks: list[Decided] = []

    async def take(self, count: int) -> None:
        """Wait until there is room for *count* more, and take it."""
        await self._until(lambda: self.submitted - self.final + count <= MAX_WAITING)
        self.submitted += count

    async def drain(self) -> None:
        """Wait until all is final."""
        await self._until(lambda: self.final >= self.submitted)

    async def _until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            for block in self._watch.decided():
                self.blocks.append(block)
                self.final += block.transactions
            if holds():
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.final} of {self.submitted} transactions are final after {PATIENCE_S} s")
            await asyncio.sleep(POLL_S)


async def _submit_share(
    client: httpx.AsyncClient, url: str, batches: Sequence[Sequence[bytes]], waiting: Backlog
) -> None:
    for batch in batches:
        await waiting.take(len(batch))
        await post(client, url, batch)


def _unix_s(timestamp: str) -> float:
    return dt.datetime.fromisoformat(timestamp).timestamp()
