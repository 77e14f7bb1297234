"""Four of our nodes beside a three-node etcd and a single anvil, in one run: operations for a second of processor time.

Each does what is its own work, so no figure is better than another's; there is no bar.

    ours    four nodes that trust nobody: signed transfers, each signature checked, executed and synced by all four
    etcd    three nodes that trust each other: values of 200 bytes replicated and synced, one in a request and 100; the
            lower bound of the work, where nodes crash and never lie
    anvil   one node, nothing replicated and nothing on disk: transfers signed beforehand, as raw transactions

The processor time is that of all a system's processes; the client's is no part of it. On the clock the client works on
the same cores. A peer that cannot be had here is reported as absent; it counts as nothing.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx

from tests.bench import ledger_load, peer_nodes
from tests.bench.ledger_load import BATCH, Spent
from tests.bench.measure import AbsentError, Row, beside, unfinished
from tests.bench.peer_nodes import PeerNodes
from tests.ledger.node.network import until

TRANSFERS = 20_000
PUTS, PUTS_IN_BATCHES, PUTS_PER_REQUEST = 3_000, 50_000, 100
"""etcd takes 128 operations in a transaction at most."""
VALUE_BYTES = 200
CLIENTS = 64
ANVIL_ACCOUNTS = 100
GAS, GAS_PRICE = 21_000, 10**10
LOAD_LIMIT_S = 120
T = TypeVar("T")


def measure() -> Iterator[Row]:
    """Load ours, then etcd, then anvil."""
    spent, _ = asyncio.run(ledger_load.spend_on_transfers(TRANSFERS))
    yield _row("transfers", TRANSFERS, spent, "signed transfers on four nodes")
    yield from _measure_peer("etcd", _measure_etcd)
    yield from _measure_peer("anvil", _measure_anvil)


def _measure_peer(name: str, load: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
    async def within() -> list[Row]:
        async with asyncio.timeout(LOAD_LIMIT_S):
            return await load()

    try:
        return asyncio.run(within())
    except AbsentError as error:
        return [unfinished(f"ledger_peers.{name}", f"absent: {error}")]
    except TimeoutError:
        return [unfinished(f"ledger_peers.{name}", f"absent: not done after {LOAD_LIMIT_S} s")]


async def _measure_etcd() -> list[Row]:
    executable = await asyncio.to_thread(peer_nodes.get_etcd)
    async with peer_nodes.running_etcd(executable) as nodes:
        single = await _spend(nodes, "/v3/kv/put", [_put(number) for number in range(PUTS)])
        numbers = _cut(range(PUTS_IN_BATCHES), PUTS_PER_REQUEST)
        requests = [{"success": [{"requestPut": _put(number)} for number in batch]} for batch in numbers]
        many = await _spend(nodes, "/v3/kv/txn", requests)
    return [
        _row("etcd_puts", PUTS, single, "puts on three nodes, one in a request"),
        _row("etcd_puts_in_batches", PUTS_IN_BATCHES, many, f"puts on three nodes, {PUTS_PER_REQUEST} in a request"),
    ]


def _put(number: int) -> dict[str, str]:
    value = number.to_bytes(8, "big") * (VALUE_BYTES // 8)
    return {"key": base64.b64encode(b"%012d" % number).decode(), "value": base64.b64encode(value).decode()}


async def _spend(nodes: PeerNodes, path: str, requests: Sequence[dict[str, Any]]) -> Spent:
    """Have many clients post *requests* to all nodes; etcd answers when Q nodes have synced what was put."""
    waiting = iter(requests)

    async def work(client: httpx.AsyncClient, url: str) -> None:
        for request in waiting:
            (await client.post(url, json=request)).raise_for_status()

    async with _client() as client:
        before_s, start_s = nodes.spent_s, time.perf_counter()
        urls = itertools.islice(itertools.cycle(nodes.urls), CLIENTS)
        await asyncio.gather(*(work(client, url + path) for url in urls))
        return Spent(nodes.spent_s - before_s, time.perf_counter() - start_s)


async def _measure_anvil() -> list[Row]:
    executable = await asyncio.to_thread(peer_nodes.get_anvil)
    async with peer_nodes.running_anvil(executable, ANVIL_ACCOUNTS) as nodes, _client() as client:
        (url,) = nodes.urls
        accounts = (await _ask(client, url, [("eth_accounts", [])]))[0]
        signing = [("eth_signTransaction", [_transfer(accounts, number)]) for number in range(TRANSFERS)]
        signed = [raw for batch in _cut(signing, BATCH) for raw in await _ask(client, url, batch)]
        sending = [("eth_sendRawTransaction", [raw]) for raw in signed]
        before_s, start_s = nodes.spent_s, time.perf_counter()
        for batch in _cut(sending, BATCH):
            await _ask(client, url, batch)
        nonces = [("eth_getTransactionCount", [account, "latest"]) for account in accounts]

        async def all_are_in_blocks() -> bool:
            return sum(int(count, 16) for count in await _ask(client, url, nonces)) == TRANSFERS

        await until(all_are_in_blocks, "anvil executes all transfers", LOAD_LIMIT_S)
        spent = Spent(nodes.spent_s - before_s, time.perf_counter() - start_s)
    return [_row("anvil_transfers", TRANSFERS, spent, "signed transfers on one node, in memory")]


def _transfer(accounts: Sequence[str], number: int) -> dict[str, str]:
    nonce, sender = divmod(number, len(accounts))
    to = accounts[(sender + 1) % len(accounts)]
    price = {"gas": hex(GAS), "gasPrice": hex(GAS_PRICE)}
    return {"from": accounts[sender], "to": to, "value": hex(1 + number), "nonce": hex(nonce), **price}


async def _ask(client: httpx.AsyncClient, url: str, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Return the results of JSON-RPC calls made in one request; raises ValueError where one is refused."""
    body = [{"jsonrpc": "2.0", "id": n, "method": name, "params": given} for n, (name, given) in enumerate(calls)]
    answers = (await client.post(url, json=body)).raise_for_status().json()
    if refused := [answer["error"] for answer in answers if "error" in answer]:
        raise ValueError(f"anvil refused {calls[0][0]}: {refused[0]}")
    return [answer["result"] for answer in sorted(answers, key=lambda answer: int(answer["id"]))]


def _cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    return httpx.AsyncClient(timeout=LOAD_LIMIT_S, limits=limits, trust_env=False)


def _row(name: str, count: int, spent: Spent, what: str) -> Row:
    rate, on_clock = count / spent.processor_s, count / spent.clock_s
    unit = f"{what} a processor second; {on_clock:,.0f}/s on the clock"
    return beside(f"ledger_peers.{name}", round(rate), unit)
