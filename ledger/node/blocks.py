"""The blocks of the height in progress: those that came, those that are asked for, those that were executed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from ledger.node.chain import Candidate

MAX_OFFERED_BLOCKS: Final = 16
"""Blocks that came but were not asked for yet; the oldest go first, they can be had again."""
HEIGHTS_AHEAD: Final = 1


@dataclass(slots=True)
class Blocks:
    """Keys are block ids; an offered body is not known to be the block of its id. Emptied at every new height."""

    height: int = 0
    wanted: set[bytes] = field(default_factory=set)
    executed: dict[bytes, Candidate] = field(default_factory=dict)
    _offered: OrderedDict[bytes, tuple[int, bytes]] = field(default_factory=OrderedDict)

    def start(self, height: int) -> None:
        """Turn to *height*; what was offered for it or beyond stays."""
        self.height = height
        self._offered = OrderedDict((key, kept) for key, kept in self._offered.items() if kept[0] >= height)
        self.wanted.clear()
        self.executed.clear()

    def offer(self, height: int, block_id: bytes, body: bytes) -> None:
        """Keep what is said to be the block *block_id* of *height*, unless one is there already."""
        if self.height <= height <= self.height + HEIGHTS_AHEAD and block_id not in self._offered:
            self._offered[block_id] = (height, body)
            if len(self._offered) > MAX_OFFERED_BLOCKS:
                self._offered.popitem(last=False)

    def want(self, block_id: bytes) -> bytes | None:
        """Return what was offered as *block_id*; None: it is wanted from now on."""
        body = self.body(block_id)
        if body is None:
            self.wanted.add(block_id)
        return body

    def reject(self, block_id: bytes) -> None:
        """Forget the bytes offered as *block_id*, which are not that block, and want it again."""
        self._offered.pop(block_id, None)
        self.wanted.add(block_id)

    def body(self, block_id: bytes) -> bytes | None:
        """Return a body that can be executed, or passed on to a peer."""
        done = self.executed.get(block_id)
        if done is not None:
            return done.body
        offered = self._offered.get(block_id)
        return offered[1] if offered else None
