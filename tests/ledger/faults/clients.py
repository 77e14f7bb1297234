"""Clients of a ledger in trouble: they transfer, read and look up receipts at any node, and record it all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Self, TypeVar

from ledger import transaction
from ledger.remote.client import ClientError, LedgerClient, RefusedError
from tests.ledger.faults.campus import BALANCE_AAIP, CLIENTS, Campus
from tests.ledger.faults.history import History, Outcome, Read, Sight, Transfer
from tests.ledger.node.network import NAMES, account_key

ANSWER_S = 1.5
PAUSE_S = 0.05
READERS = 2
VALID_UNTIL = 10**6
T = TypeVar("T")


class Clients:
    """All clients of a campus. They ask only the nodes at *places*, which are those of correct authorities."""

    def __init__(self, campus: Campus, places: Sequence[int], history: History, seed: int) -> None:
        self._campus, self._places, self._history, self._random = campus, places, history, Random(seed)
        self._nodes = {place: LedgerClient([campus.network.urls[place]]) for place in places}
        self._nonces = dict.fromkeys(CLIENTS, 0)
        self._stopped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()

    def start(self) -> None:
        self._stopped.clear()
        jobs = [*(self._transfer(account) for account in CLIENTS), *(self._look() for _ in range(READERS))]
        self._tasks = [asyncio.create_task(job) for job in jobs]

    async def finish(self, within_s: float) -> None:
        """Begin nothing new and wait for what was begun; raises AssertionError where that does not come to an end."""
        self._stopped.set()
        done, unfinished = await asyncio.wait(self._tasks, timeout=within_s)
        for task in done:
            task.result()
        assert not unfinished, f"{len(unfinished)} clients wait for transfers to be final"

    async def _transfer(self, account: bytes) -> None:
        random = self._random
        while not self._stopped.is_set():
            receiver = random.choice([one for one in CLIENTS if one != account])
            amount = random.choice([random.randint(1, BALANCE_AAIP // 4), random.randint(1, BALANCE_AAIP)])
            call = transaction.Call("money", "transfer", (receiver, amount))
            raw = transaction.sign(
                self._campus.network.genesis.chain_id,
                account,
                self._nonces[account],
                VALID_UNTIL,
                call,
                account_key(account),
            )
            one = Transfer(hashlib.sha256(raw).digest(), account, receiver, amount, time.monotonic())
            self._history.transfers.append(one)
            self._nonces[account] += 1
            await self._insist(one, raw)

    async def _insist(self, one: Transfer, raw: bytes) -> None:
        """Submit the same transaction here and there, again and again, until a node says that it is final."""
        while one.outcome is None:
            node = self._nodes[self._random.choice(self._places)]
            with contextlib.suppress(RefusedError):  # a node that lags, or one that has it in a block already
                await _answer(node.submit(raw))
            for _ in range(4):
                found = await _answer(self._nodes[self._random.choice(self._places)].receipt(one.id))
                if found is not None and found.status == "final":
                    one.acknowledged_s = time.monotonic()
                    one.outcome = Outcome(found.height or 0, found.index or 0, found.code or 0)
                    return
                await asyncio.sleep(PAUSE_S)

    async def _look(self) -> None:
        random = self._random
        while not self._stopped.is_set():
            place = random.choice(self._places)
            if self._history.transfers and random.random() < 0.4:
                await self._see(place, random.choice(self._history.transfers[-30:]).id)
            else:
                await self._read(place, random.choice(CLIENTS))
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_S))

    async def _read(self, place: int, account: bytes) -> None:
        life, invoked_s = self._campus.lives[place], time.monotonic()
        found = await _answer(self._nodes[place].account(account))
        if found is not None and life == self._campus.lives[place]:
            self._history.reads.append(
                Read(NAMES[place], life, invoked_s, time.monotonic(), account, found.height, found.balance_aaip,
                     found.nonce)
            )  # fmt: skip

    async def _see(self, place: int, wanted: bytes) -> None:
        life, invoked_s = self._campus.lives[place], time.monotonic()
        found = await _answer(self._nodes[place].receipt(wanted))
        if found is None or life != self._campus.lives[place]:
            return
        outcome = Outcome(found.height or 0, found.index or 0, found.code or 0) if found.status == "final" else None
        self._history.sights.append(Sight(NAMES[place], life, invoked_s, time.monotonic(), wanted, outcome))


async def _answer(asked: Awaitable[T]) -> T | None:
    """Return the answer, or None from a node that is dead, paused or cut off."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asked
    except (TimeoutError, ClientError):
        await asyncio.sleep(PAUSE_S)
        return None
