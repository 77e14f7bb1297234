"""The driver's jobs, in the order in which they came; what peers bring has a limit for each of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from ledger.errors import MalformedError

MAX_QUEUED_JOBS: Final = 4_000
"""Jobs of one peer that wait; beyond it what it sends is dropped and counted, correct nodes send it again."""

Job = Callable[[], Awaitable[None]]
log = structlog.get_logger("consensus")


class Inbox:
    """Jobs that wait. *blame* is called with the name of a peer whose job turned out to be malformed."""

    def __init__(self, blame: Callable[[str], None]) -> None:
        self.dropped = 0
        self._blame = blame
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._waiting: Counter[str] = Counter()

    async def next(self) -> Job:
        """Return the job whose turn it is, waiting for one."""
        return await self._jobs.get()

    def post(self, job: Job) -> None:
        """Queue the node's own job: it always gets in."""
        self._jobs.put_nowait(job)

    def post_from(self, peer: str, job: Job) -> None:
        """Queue what *peer* brought, or drop and count it where too much of it waits already."""
        if self._waiting[peer] >= MAX_QUEUED_JOBS:
            self.dropped += 1
            return
        self._waiting[peer] += 1
        self._jobs.put_nowait(partial(self._work_for, peer, job))

    async def _work_for(self, peer: str, job: Job) -> None:
        self._waiting[peer] -= 1
        try:
            await job()
        except MalformedError as error:
            log.warning("malformed consensus message", peer=peer, error=str(error))
            self._blame(peer)
