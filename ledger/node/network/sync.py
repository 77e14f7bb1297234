"""Catching up: which decided blocks to ask of whom. Nothing here believes a peer; it only keeps what came.

A block is checked when its height is worked on: its commit certificate by the authorities in force then, its content
by executing it. A peer that sent one which fails is not asked again for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.block import MAX_BLOCK_BYTES, Commit

WINDOW_BLOCKS: Final = 32
MAX_ANSWER_BYTES: Final = 2 * MAX_BLOCK_BYTES
REQUEST_TIMEOUT_S: Final = 2.0
DISTRUST_S: Final = 30.0
LAG_BLOCKS: Final = 2
"""A node this far behind asks; for a single missing block the consensus core's own re-sending is enough."""


@dataclass(frozen=True, slots=True)
class DecidedBlock:
    """A block with the certificate that is said to have decided it, both unchecked; `peer` sent it."""

    peer: str
    body: bytes
    commit: Commit


@dataclass(frozen=True, slots=True)
class BlockRange:
    """A request for the decided blocks from `first` on, `count` at most."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class _Request:
    peer: str
    range: BlockRange
    time_s: float


class Sync:
    """One node's view of what the others have and what it still needs; bounded by `WINDOW_BLOCKS`."""

    def __init__(self) -> None:
        self._heights: dict[str, int] = {}
        self._firsts: dict[str, int] = {}
        self._blocks: dict[int, DecidedBlock] = {}
        self._distrusted_until: dict[str, float] = {}
        self._request: _Request | None = None
        self._turn = 0

    def note(self, peer: str, height: int) -> None:
        """Remember that *peer* says it works on *height*, so that it has all blocks below."""
        self._heights[peer] = height

    def note_first(self, peer: str, first: int) -> None:
        """Remember that *peer* says it has blocks from *first* on."""
        self._firsts[peer] = first

    def distrust(self, peer: str, now_s: float) -> None:
        """Leave *peer* alone for a while, and forget what it sent."""
        self._distrusted_until[peer] = now_s + DISTRUST_S
        self._blocks = {height: found for height, found in self._blocks.items() if found.peer != peer}

    def receive(self, found: DecidedBlock, height: int) -> None:
        """Keep a decided block that came while this node works on *height*, if it is wanted."""
        wanted = height <= found.commit.height < height + WINDOW_BLOCKS
        asked = self._request is not None and found.peer == self._request.peer
        if wanted and (asked or found.commit.height == height):
            self._blocks.setdefault(found.commit.height, found)

    def take(self, height: int) -> DecidedBlock | None:
        """Return what came for *height* and forget what lies below."""
        found = self._blocks.pop(height, None)
        self._blocks = {above: kept for above, kept in self._blocks.items() if above > height}
        return found

    def next_request(self, height: int, now_s: float) -> tuple[str, BlockRange] | None:
        """Return whom to ask for what, while this node works on *height*; None while an answer may still come."""
        if self._request and self._is_open(self._request, height, now_s):
            return None
        self._request = None
        first = next(number for number in range(height, height + WINDOW_BLOCKS + 1) if number not in self._blocks)
        able = sorted(
            peer
            for peer, theirs in self._heights.items()
            if theirs >= height + LAG_BLOCKS
            and theirs > first >= self._firsts.get(peer, 1)
            and self._distrusted_until.get(peer, 0.0) <= now_s
        )
        if not able or first >= height + WINDOW_BLOCKS // 2:
            return None
        self._turn += 1
        peer = able[self._turn % len(able)]
        wanted = BlockRange(first, min(height + WINDOW_BLOCKS, self._heights[peer]) - first)
        self._request = _Request(peer, wanted, now_s)
        return peer, wanted

    def _is_open(self, request: _Request, height: int, now_s: float) -> bool:
        end = request.range.first + request.range.count
        complete = all(number in self._blocks for number in range(max(height, request.range.first), end))
        return not complete and now_s - request.time_s < REQUEST_TIMEOUT_S
