"""What is older than its time is given up, and the file gets smaller: in small steps while the node runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from ledger.node.settings import KeepSettings
from ledger.node.snapshots.offer import Snapshots
from ledger.node.storage.disk import Disk
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store

STEP_BLOCKS: Final = 20
STEP_PAGES: Final = 512
"""A step holds the writing thread up for some milliseconds."""
STEP_PAUSE_S: Final = 0.05
IDLE_S: Final = 60.0
_DAY_MS: Final = 86_400_000

log = structlog.get_logger("pruning")


def last_height(store: Store, keep: KeepSettings, kept: Kept, oldest_snapshot: int, now_ms: int) -> int:
    """Return up to which height *kept* may go by the settings *keep*; 0 for nothing.

    Whoever takes a snapshot of this node goes on by blocks: bodies above the oldest one stay, whatever their age. The
    newest block stays whole.
    """
    limit = oldest_snapshot if kept is Kept.BODIES else store.height() - 1
    return min(limit, store.newest_before(now_ms - _days(keep, kept) * _DAY_MS))


def why_no_more(store: Store, keep: KeepSettings, kept: Kept, oldest_snapshot: int, now_ms: int) -> str:
    """Return why *kept* may go no further than `last_height` says."""
    old = store.newest_before(now_ms - _days(keep, kept) * _DAY_MS)
    if kept is not Kept.BODIES or old <= oldest_snapshot:
        return f"what is younger than {_days(keep, kept)} days stays, and so does the newest block"
    if oldest_snapshot:
        return f"what a peer needs that begins with the oldest snapshot here, of block {oldest_snapshot}, stays"
    return "there is no snapshot here that a peer could begin with: set `every_blocks` under [snapshots], run the node"


def _days(keep: KeepSettings, kept: Kept) -> int:
    return {Kept.BODIES: keep.bodies_days, Kept.RECEIPTS: keep.receipts_days, Kept.INDEX: keep.index_days}[kept]


def step(store: Store, kept: Kept, last: int) -> bool:
    """Give up *kept* of some more blocks, up to *last*; tell whether there were any."""
    first = store.pruned(kept) + 1
    if first > last:
        return False
    store.prune(kept, first, min(last, first + STEP_BLOCKS - 1))
    return True


class Pruner:
    """Prunes a running node, of which *snapshots* peers can have."""

    def __init__(self, disk: Disk, keep: KeepSettings, snapshots: Snapshots) -> None:
        self._disk, self._keep, self._snapshots = disk, keep, snapshots

    async def run(self) -> None:
        """Look for what is too old, for ever."""
        while True:
            for kept in Kept:
                await self._prune(kept)
            await self._repeat(lambda store: store.free(STEP_PAGES))
            self._snapshots.made.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._snapshots.made.wait()  # with every one, more bodies may go

    async def _prune(self, kept: Kept) -> None:
        oldest, now_ms = self._snapshots.oldest, time.time_ns() // 10**6
        last = await self._disk.read(lambda store: last_height(store, self._keep, kept, oldest, now_ms))
        first = await self._disk.read(lambda store: store.pruned(kept)) + 1
        await self._repeat(lambda store: step(store, kept, last))
        if first <= last:
            log.info("pruned", what=kept.value, first=first, last=last)

    async def _repeat(self, work: Callable[[Store], bool]) -> None:
        """Do a step after the other, until one says that there is no more to do; consensus comes between."""
        is_more = True
        while is_more:
            is_more = await self._disk.commit(work)
            await asyncio.sleep(STEP_PAUSE_S)
