"""Evidence that no block holds yet: kept on the disk, for this node may have the only copy."""

from __future__ import annotations

from typing import Final

import structlog

from ledger.consensus import effects as fx
from ledger.consensus.evidence import Evidence
from ledger.node.chain import Ledger
from ledger.node.storage.disk import Disk

MAX_PENDING_EVIDENCE: Final = 64

log = structlog.get_logger("consensus")


class PendingEvidence:
    """What waits for a block; `items` are encoded as blocks hold them."""

    def __init__(self, disk: Disk, ledger: Ledger) -> None:
        self.items: list[bytes] = []
        self._disk, self._ledger = disk, ledger

    async def keep(self, found: fx.EvidenceFound) -> None:
        """Keep it, beyond a restart too, until some block holds it."""
        height, round_, kind = found.first.statement.slot
        log.error("an authority signed two values", index=found.sender, height=height, round=round_, kind=kind)
        evidence = Evidence.of(found.first, found.second).encode()
        if len(self.items) < MAX_PENDING_EVIDENCE and evidence not in self.items:
            self.items.append(evidence)
            await self._disk.commit(lambda store: store.add_evidence(evidence))

    async def forget_settled(self) -> None:
        """Drop what a block has recorded, also by another pair of messages: else it would ask for blocks for ever."""
        if self.items:
            pending = self.items
            self.items = list(await self._ledger.run(lambda chain: chain.still_proving(pending)))
            settled = [one for one in pending if one not in self.items]
            await self._disk.commit(lambda store: store.delete_evidence(settled))
