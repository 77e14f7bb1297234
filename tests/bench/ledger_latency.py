"""How soon four nodes decide: an empty height above what the disk takes, one transfer at rest, many under load."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import httpx

from ledger.genesis import Role
from ledger.node.storage.store import Signed, SignedType, Store
from tests.bench import ledger_network
from tests.bench.ledger_load import QUICK, sign
from tests.bench.ledger_network import account, post
from tests.bench.measure import Row, at_most
from tests.ledger.node.network import NAMES, Network

EMPTY_HEIGHTS = 200
EMPTY_HEIGHT_MS = 10
COMMITS_PER_HEIGHT = 4
"""What waits for what: the proposal, a prevote, a precommit and the decision are each on the disk before the next."""
COMMITS = 200
IDLE_TRANSFERS = 30
IDLE_SLACK_MS = 100
LOAD_PER_S = 500
LOAD_S = 10
LOAD_STEP_S = 0.02
LOAD_P95_MS = 1_000
ACCOUNTS = 500


def measure() -> Iterator[Row]:
    """Measure the three."""
    yield asyncio.run(_measure_empty_heights())
    yield from asyncio.run(_measure_finality())


async def _measure_empty_heights() -> Row:
    parameters = replace(QUICK, block_interval_ms=1, heartbeat_ms=1)
    async with ledger_network.running(parameters) as network:
        await network.reach(EMPTY_HEIGHTS, 0, timeout_s=ledger_network.PATIENCE_S)
        times = sorted(ledger_network.decided_at(network, 0).values())
    floor_ms = COMMITS_PER_HEIGHT * _commit_ms()
    height_ms = 1000 * median(after - before for before, after in pairwise(times[-EMPTY_HEIGHTS // 2 :]))
    unit = f"ms an empty height takes beyond {COMMITS_PER_HEIGHT} commits to the disk ({floor_ms:.1f} ms)"
    return at_most("ledger.empty_height_ms", round(height_ms - floor_ms, 1), unit, EMPTY_HEIGHT_MS)


async def _measure_finality() -> list[Row]:
    async with ledger_network.running(QUICK, [Role.USER] * ACCOUNTS) as network:
        idle_ms = await _send(network, [[_transfer(network, number)] for number in range(IDLE_TRANSFERS)], _pause_s)
        step = round(LOAD_PER_S * LOAD_STEP_S)
        numbers = range(IDLE_TRANSFERS, IDLE_TRANSFERS + LOAD_PER_S * LOAD_S, step)
        batches = [[_transfer(network, number + place) for place in range(step)] for number in numbers]
        load_ms = await _send(network, batches, lambda: LOAD_STEP_S)
    bar_ms = QUICK.block_interval_ms + IDLE_SLACK_MS
    unit = f"ms to finality at rest (95 %), blocks every {QUICK.block_interval_ms} ms at most"
    return [
        at_most("ledger.finality_idle_ms", _p95(idle_ms), unit, bar_ms),
        at_most("ledger.finality_500_per_s_ms", _p95(load_ms), "ms to finality (95 %) at 500 transfers/s", LOAD_P95_MS),
    ]


async def _send(network: Network, batches: Sequence[Sequence[bytes]], pause_s: Callable[[], float]) -> list[float]:
    """Submit each batch to the next node, a pause apart; return how many ms each transaction took to be final there."""
    sent: dict[bytes, tuple[int, float]] = {}
    due_s, posts = time.time(), []
    async with httpx.AsyncClient(timeout=ledger_network.PATIENCE_S, trust_env=False) as client:
        for number, batch in enumerate(batches):
            place = number % len(NAMES)
            await asyncio.sleep(max(0, due_s - time.time()))
            sent.update((hashlib.sha256(raw).digest(), (place, time.time())) for raw in batch)
            posts.append(asyncio.create_task(post(client, network.urls[place], batch)))
            due_s += pause_s()
        await asyncio.gather(*posts)
    heights = await _final(network, sent)
    decided = [ledger_network.decided_at(network, place) for place in range(len(NAMES))]
    return [1000 * (decided[place][heights[key]] - at_s) for key, (place, at_s) in sent.items()]


async def _final(network: Network, sent: Collection[bytes]) -> dict[bytes, int]:
    """Return the height of each transaction, once all nodes have decided all of them."""
    path = network.directory(0) / "data" / "ledger.sqlite"
    deadline_s = time.monotonic() + ledger_network.PATIENCE_S
    while time.monotonic() < deadline_s:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as rows:
            heights = dict(rows.execute("SELECT id, height FROM transactions"))
        newest = max(heights.values(), default=0)
        if all(key in heights for key in sent):
            await network.reach(newest, timeout_s=ledger_network.PATIENCE_S)
            return heights
        await asyncio.sleep(0.2)
    raise TimeoutError("not all transactions became final")


def _commit_ms() -> float:
    """Return how long one row takes to the disk in a node's own database, with nothing else going on."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "ledger.sqlite", bytes(8))
        times_s = []
        for height in range(COMMITS):
            start_s = time.perf_counter()
            with store.transaction():
                store.sign(Signed(height, 0, SignedType.PREVOTE, bytes(64), bytes(150)))
            times_s.append(time.perf_counter() - start_s)
        store.close()
    return 1000 * median(times_s)


def _transfer(network: Network, number: int) -> bytes:
    sender, nonce = number % ACCOUNTS, number // ACCOUNTS
    return sign(network, sender, nonce, "money", "transfer", account((sender + 1) % ACCOUNTS), 1 + number)


def _pause_s() -> float:
    """Return a pause that meets every moment of a block interval."""
    return random.uniform(1, 2) * QUICK.block_interval_ms / 1000


def _p95(times_ms: Sequence[float]) -> float:
    return round(quantiles(times_ms, n=20)[-1], 1)
