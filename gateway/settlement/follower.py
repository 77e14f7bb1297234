"""Watching the ledger: each node's height and state root, the newest block that nodes agree on, market results."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.epochs.calendar import Calendar
from ledger.api.resources import Epoch, NodeStatus
from ledger.errors import LedgerError
from ledger.liveness import Progress
from ledger.remote.client import LedgerClient

POLL_S: Final = 2.0
EPOCHS_SHOWN: Final = 24
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeView:
    """One ledger node as last seen; `status` is None while it does not answer."""

    url: str
    status: NodeStatus | None


@dataclass(frozen=True, slots=True)
class AgreedBlock:
    """A finalised block of which more nodes tell than may lie; `time_ms` is that of the block."""

    height: int
    id: bytes
    time_ms: int


class LedgerFollower:
    """Polls every node of *urls*. What it holds is for display, beacons and deadlines; settlement asks for itself."""

    def __init__(self, urls: Sequence[str], calendar: Calendar, heartbeat_s: float = 60.0) -> None:
        """*heartbeat_s* is how old the newest block of a ledger that works may be."""
        self._heartbeat_s = heartbeat_s
        self._clients = {url: LedgerClient([url]) for url in urls}
        self._any = LedgerClient(urls)
        self._calendar = calendar
        self.nodes: tuple[NodeView, ...] = tuple(NodeView(url, None) for url in urls)
        self.has_polled = False
        self._agreed: AgreedBlock | None = None
        self.clock_ahead_s = 0.0
        """By how much the gateway's clock was ahead when a new block was seen, at least."""
        self.progress = Progress()
        self.epochs: tuple[Epoch, ...] = ()
        self.roots_agree: bool | None = None
        """Whether all answering nodes have one state root at one common height; None while fewer than two answer."""

    @property
    def newest(self) -> NodeStatus | None:
        """The status of the node that is furthest ahead."""
        return max(self._statuses(), key=lambda status: status.height, default=None)

    @property
    def height(self) -> int | None:
        """The newest finalised height seen, or None while no node answers."""
        return self.newest.height if self.newest else None

    @property
    def time(self) -> float | None:
        """The time of the newest finalised block seen, in Unix seconds, or None while no node answers."""
        return self.newest.time_ms / 1000 if self.newest and self.newest.height else None

    @property
    def is_silent(self) -> bool:
        """Tell whether all nodes were asked and none answered."""
        return self.has_polled and self.newest is None

    @property
    def agreed(self) -> AgreedBlock | None:
        """The newest block that nodes agree on; None while too few of them answer, so the ledger is out of reach."""
        return self._agreed if len(self._statuses()) >= self._enough else None

    @property
    def agreed_time(self) -> float | None:
        """The time of that block in Unix seconds, or None."""
        return self.agreed.time_ms / 1000 if self.agreed else None

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                with self.progress.working():
                    await self.poll()
                await asyncio.sleep(POLL_S)
        finally:
            await asyncio.gather(self._any.close(), *(client.close() for client in self._clients.values()))

    async def poll(self) -> None:
        """Ask every node once, all at the same time."""
        self.nodes = tuple(await asyncio.gather(*(self._view(url) for url in self._clients)))
        self._agree()
        self.has_polled = True
        try:
            self.roots_agree = await self._compare_roots()
            if self.newest is not None:
                self.epochs = await self._follow_epochs()
        except LedgerError as error:
            log.info("ledger not fully followed", cause=str(error))

    @property
    def _enough(self) -> int:
        """How many nodes must tell the same: one more than may lie, as far as the gateway knows of them."""
        return (len(self._clients) - 1) // 3 + 1

    def _statuses(self) -> list[NodeStatus]:
        return [node.status for node in self.nodes if node.status is not None]

    def _agree(self) -> None:
        """Find the newest block of which enough nodes tell; until they agree on the next one, the one before holds."""
        told = Counter(AgreedBlock(one.height, one.block_id, one.time_ms) for one in self._statuses() if one.height)
        enough = [block for block, count in told.items() if count >= self._enough]
        newest = max(enough, key=lambda block: block.height, default=None)
        if newest is None or (self._agreed and newest.height <= self._agreed.height):
            return
        age_s = self._calendar.now() - newest.time_ms / 1000
        self.clock_ahead_s = age_s if self._agreed else max(0.0, age_s - self._heartbeat_s)  # the first may be old
        self._agreed = newest

    async def _view(self, url: str) -> NodeView:
        try:
            return NodeView(url, await self._clients[url].status())
        except LedgerError:
            return NodeView(url, None)

    async def _follow_epochs(self) -> tuple[Epoch, ...]:
        """Return the newest epochs without their lines; those that are settled already are not asked for again."""
        now = self._calendar.epoch_now()
        settled = {epoch.epoch: epoch for epoch in self.epochs if epoch.phase == "settled"}
        unsettled = (epoch.epoch for epoch in self.epochs if epoch.phase != "settled")
        oldest = max(0, now - EPOCHS_SHOWN)
        first = min(unsettled, default=max(settled, default=oldest - 1) + 1)
        for epoch in await self._any.epochs(max(first, oldest), now + 1):
            settled[epoch.epoch] = replace(epoch, lines=())
        return tuple(settled[number] for number in sorted(settled) if number >= oldest)

    async def _compare_roots(self) -> bool | None:
        heights = {node.url: node.status.height for node in self.nodes if node.status is not None}
        if len(heights) < 2 or min(heights.values()) == 0:
            return None
        common = min(heights.values())
        blocks = await asyncio.gather(*(self._clients[url].block(common) for url in heights))
        return len({block.state_root for block in blocks}) == 1
