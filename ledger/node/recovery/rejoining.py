"""Holds a node back that may have forgotten what it signed, until it can contradict nothing of it (LEDGER rule 11)."""

from __future__ import annotations

from functools import partial

import structlog

from ledger.consensus.signing import first_height_to_sign
from ledger.node.chain import Position
from ledger.node.network.wire import NodeReport
from ledger.node.recovery import memory
from ledger.node.storage.disk import Disk

log = structlog.get_logger("rejoining")


class Rejoining:
    """Hears what the others report, and tells from which height on this node, named *name*, signs.

    `signs_from` is None while that is not known; then it signs nothing, and follows the chain as anybody does.
    """

    def __init__(self, name: str, disk: Disk) -> None:
        self.signs_from: int | None = None
        self._name = name
        self._disk = disk
        self._lowest: dict[str, int] = {}

    async def recover(self) -> None:
        """Read what the database knows."""
        if await self._disk.read(memory.is_whole):
            self.signs_from = await self._disk.read(memory.first_height_to_sign)
            return
        log.warning(
            "this node may have forgotten what it signed (its data is new, or restored): it follows the chain and signs"
            " again two blocks after it has caught up with a quorum of the others; if the chain is new and this node"
            " never ran, stop it, move its data away and run `campusgrid ledger begin --config node.toml`"
        )

    def may_sign(self, height: int) -> bool:
        """Tell whether this node contradicts nothing if it signs at *height*."""
        return self.signs_from is not None and height >= self.signs_from

    def hear(self, name: str, report: NodeReport) -> None:
        """Note where the peer *name* stands; one that observes itself may have forgotten where it stood.

        The lowest height counts: a correct peer never was below what it said first.
        """
        if self.signs_from is None and not report.observes:
            self._lowest[name] = min(report.height, self._lowest.get(name, report.height))

    async def look(self, position: Position) -> None:
        """See whether this node, whose chain stands at *position*, can tell by now; if so, store it."""
        if self.signs_from is not None:
            return
        others = {member.name for member in position.authorities.members} - {self._name}
        reported = [height for name, height in self._lowest.items() if name in others]
        found = first_height_to_sign(position.header.height + 1, reported, position.authorities.quorum)
        if found is not None:
            await self._disk.commit(partial(memory.recover, signs_from=found))
            self.signs_from = found
            log.info("this node has caught up", signs_from=found)
