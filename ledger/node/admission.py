"""How transactions come into the mempool: clients' and peers' alike are checked in batches, in the ledger's thread.

What a client submits is passed on to the other authorities, many in a frame. What a peer passes on stays here.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from ledger.codes import Code, Refusal
from ledger.node.chain import Ledger
from ledger.node.mempool import Mempool, PoolRefusal
from ledger.node.network import wire
from ledger.node.network.wire import Frame
from ledger.transaction import Transaction

MAX_QUEUED_GOSSIP: Final = 10_000
"""Transactions of one peer that wait: none takes the place of the others."""
MAX_BATCH: Final = 256
"""A block that is to be executed waits for one batch at most."""

log = structlog.get_logger("admission")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A transaction that waits for a block here, or already stands in one."""

    id: bytes


Answer = Admitted | Refusal | PoolRefusal


@dataclass(slots=True)
class _Submission:
    """What one client waits for: `is_done` once all its transactions, by their places, are answered."""

    answers: dict[int, Answer]
    count: int
    is_done: asyncio.Future[None]

    def take(self, place: int, answer: Answer) -> None:
        self.answers[place] = answer
        if len(self.answers) == self.count and not self.is_done.done():  # its client may have gone
            self.is_done.set_result(None)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A transaction to be checked: the one at `place` of a client's submission, or one that `peer` passed on."""

    raw: bytes
    submission: _Submission | None = None
    place: int = 0
    peer: str | None = None


class Admission:
    """The way into *mempool*. `broadcast` passes frames on; `note` is called when something may wait for a block.

    `blame` is called with the name of a peer that passed on what is no transaction.
    """

    def __init__(
        self,
        ledger: Ledger,
        mempool: Mempool,
        broadcast: Callable[[Frame], None],
        note: Callable[[], None],
        blame: Callable[[str], None],
    ) -> None:
        self.dropped_gossip = 0
        self._ledger = ledger
        self._mempool = mempool
        self._broadcast = broadcast
        self._note = note
        self._blame = blame
        self._queued: Counter[str] = Counter()
        self._arrivals: deque[_Arrival] = deque()
        self._arrived = asyncio.Event()

    async def submit(self, raws: Sequence[bytes]) -> list[Answer]:
        """Take a client's transactions in and pass them on; return what became of each, in their order."""
        if not raws:
            return []
        submission = _Submission({}, len(raws), asyncio.get_running_loop().create_future())
        self._enqueue([_Arrival(raw, submission, place) for place, raw in enumerate(raws)])
        await submission.is_done
        return [submission.answers[place] for place in range(len(raws))]

    def take_gossip(self, peer: str, raws: Sequence[bytes]) -> None:
        """Take in what *peer* passed on. Beyond its limit it is dropped: it is offered at the next link again."""
        room = max(0, MAX_QUEUED_GOSSIP - self._queued[peer])
        self.dropped_gossip += max(0, len(raws) - room)
        self._queued[peer] += len(raws[:room])
        self._enqueue([_Arrival(raw, peer=peer) for raw in raws[:room]])

    async def run(self) -> None:
        """Check what arrives, for ever."""
        try:
            while True:
                await self._arrived.wait()
                batch = [self._arrivals.popleft() for _ in range(min(MAX_BATCH, len(self._arrivals)))]
                if not self._arrivals:
                    self._arrived.clear()
                await self._admit(batch)
        finally:
            for arrival in self._arrivals:
                if arrival.submission is not None:
                    arrival.submission.is_done.cancel()

    def _enqueue(self, arrivals: Sequence[_Arrival]) -> None:
        self._arrivals.extend(arrivals)
        if self._arrivals:
            self._arrived.set()

    async def _admit(self, batch: Sequence[_Arrival]) -> None:
        raws = [arrival.raw for arrival in batch]
        checked = await self._ledger.run(lambda chain: chain.check_all(raws))
        answers = [one if isinstance(one, Refusal) else self._pool_in(*one) for one in checked]
        own = [one.raw for one, answer in zip(batch, answers, strict=True) if one.submission and _is_in(answer)]
        for frame in wire.transactions(own):
            self._broadcast(frame)
        for arrival, answer in zip(batch, answers, strict=True):
            if arrival.submission is None:
                self._judge_gossip(arrival.peer or "", answer)
            else:
                arrival.submission.take(arrival.place, answer)
        self._note()

    def _judge_gossip(self, peer: str, answer: Answer) -> None:
        """Only what cannot be decoded is the peer's fault: all else may have been right where it came from."""
        self._queued[peer] -= 1
        if isinstance(answer, Admitted):
            return
        log.debug("passed-on transaction refused", peer=peer, code=answer.code.name, text=answer.text)
        if answer.code is Code.UNDECODABLE:
            self._blame(peer)

    def _pool_in(self, item: Transaction, next_nonce: int) -> Admitted | PoolRefusal:
        return self._mempool.add(item, next_nonce) or Admitted(item.id)


def _is_in(answer: Answer) -> bool:
    return isinstance(answer, Admitted)
