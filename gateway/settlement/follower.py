"""Watching the ledger: each node's height and state root, the newest finalised block for beacons, market results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.epochs.calendar import Calendar
from ledger.api.resources import Epoch, NodeStatus
from ledger.client import LedgerClient
from ledger.errors import LedgerError
from ledger.liveness import Progress
from ledger.reading import HASH_HEAD_BYTES, Beacon

POLL_S: Final = 2.0
EPOCHS_SHOWN: Final = 24
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeView:
    """One ledger node as last seen; `status` is None while it does not answer."""

    url: str
    status: NodeStatus | None


class LedgerFollower:
    """Polls every node of *urls*. What it holds is for display and beacons; settlement asks for itself."""

    def __init__(self, urls: Sequence[str], calendar: Calendar) -> None:
        self._clients = {url: LedgerClient([url]) for url in urls}
        self._any = LedgerClient(urls)
        self._calendar = calendar
        self.nodes: tuple[NodeView, ...] = tuple(NodeView(url, None) for url in urls)
        self._has_polled = False
        self.progress = Progress()
        self.epochs: tuple[Epoch, ...] = ()
        self.roots_agree: bool | None = None
        """Whether all answering nodes have one state root at one common height; None while fewer than two answer."""

    @property
    def newest(self) -> NodeStatus | None:
        """The status of the node that is furthest ahead."""
        statuses = [node.status for node in self.nodes if node.status is not None]
        return max(statuses, key=lambda status: status.height, default=None)

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
        return self._has_polled and self.newest is None

    def newest_beacon(self) -> Beacon | None:
        """Return the beacon for receipts: the newest finalised block, and no anchor yet; None without a block."""
        status = self.newest
        if status is None or status.height == 0:
            return None
        head = status.block_id[:HASH_HEAD_BYTES]
        return Beacon(status.height, status.time_ms // 1000, head, 0, 0, bytes(HASH_HEAD_BYTES))

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
        self._has_polled = True
        try:
            self.roots_agree = await self._compare_roots()
            if self.newest is not None:
                self.epochs = await self._follow_epochs()
        except LedgerError as error:
            log.info("ledger not fully followed", cause=str(error))

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
