"""How a peer behaves: quotas for what it sends, and a score that its faults lower until it is cut off for a while.

A quota never loses a frame: the link is read more slowly, and TCP holds the sender back. A fault is only what no
correct node does, so that correct nodes never cut each other off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ledger.node.network.wire import FrameType

FULL_SCORE: Final = 100.0
GAIN_PER_S: Final = 1.0
"""What a fault costs is forgotten at this pace; with a full score earlier times of being cut off are forgotten too."""
FIRST_CUT_OFF_S: Final = 30.0
MAX_CUT_OFF_S: Final = 1_800.0
BURST_S: Final = 2.0
"""A peer that was silent may send so many seconds' worth at once."""


class Fault(Enum):
    """What a peer did that no correct one does."""

    PROTOCOL = "protocol"
    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    BAD_CERTIFICATE = "bad_certificate"
    BAD_TRANSACTION = "bad_transaction"
    BAD_SNAPSHOT = "bad_snapshot"


COSTS: Final = {
    Fault.PROTOCOL: 25.0,
    Fault.MALFORMED: 20.0,
    Fault.BAD_SIGNATURE: 20.0,
    Fault.BAD_CERTIFICATE: 50.0,
    Fault.BAD_TRANSACTION: 10.0,
    Fault.BAD_SNAPSHOT: 50.0,
}


@dataclass(frozen=True, slots=True)
class Quota:
    """How many frames, and how many bytes of them, a peer may send a second."""

    frames: int
    bytes: int


_SMALL: Final = 2**20
_LARGE: Final = 32 * 2**20
ANSWERS: Final = Quota(500, _LARGE)
"""For kinds that are not listed: requests that were made, and their answers."""
QUOTAS: Final = {
    FrameType.HELLO: Quota(1, _SMALL),
    FrameType.MESSAGE: Quota(2_000, _SMALL),
    FrameType.STATUS: Quota(50, _SMALL),
    FrameType.WANTED: Quota(100, _SMALL),
    FrameType.RANGE: Quota(100, _SMALL),
    FrameType.DECIDED: Quota(2_000, _LARGE),
    FrameType.TRANSACTIONS: Quota(5_000, 8 * 2**20),
    FrameType.COSIGNATURE: Quota(1_000, _SMALL),
    FrameType.ADDRESS: Quota(1, _SMALL),
}
"""Far above what a correct node sends: a vote and a cosignature a block, a status every 400 ms, its clients' calls."""


@dataclass(slots=True)
class Conduct:
    """One peer's record. Times are seconds of a monotonic clock."""

    faults: Counter[Fault] = field(default_factory=Counter)
    delays: int = 0
    cut_offs: int = 0
    cut_off_until_s: float = 0.0
    _score: float = FULL_SCORE
    _scored_s: float = 0.0
    _cut_off_s: float = FIRST_CUT_OFF_S
    _paid_s: dict[FrameType, float] = field(default_factory=dict)

    def score(self, now_s: float) -> float:
        """Return the score: FULL_SCORE for a peer that did nothing wrong, below 0 it is cut off."""
        return min(FULL_SCORE, self._score + max(0.0, now_s - self._scored_s) * GAIN_PER_S)

    def is_cut_off(self, now_s: float) -> bool:
        """Tell whether the peer is not listened to now."""
        return now_s < self.cut_off_until_s

    def blame(self, fault: Fault, now_s: float) -> bool:
        """Count a fault; return whether it was the one too many, from which on the peer is cut off."""
        self.faults[fault] += 1
        if self.is_cut_off(now_s):
            return False
        score = self.score(now_s)
        if score >= FULL_SCORE:
            self._cut_off_s = FIRST_CUT_OFF_S
        self._score, self._scored_s = score - COSTS[fault], now_s
        if self._score >= 0:
            return False
        self.cut_offs += 1
        self.cut_off_until_s = now_s + self._cut_off_s
        self._score, self._scored_s = 0.0, self.cut_off_until_s
        self._cut_off_s = min(self._cut_off_s * 2, MAX_CUT_OFF_S)
        return True

    def delay_s(self, kind: FrameType, size: int, now_s: float) -> float:
        """Return how long not to read on after a frame of *size* bytes, so that the peer keeps to its quota."""
        quota = QUOTAS.get(kind, ANSWERS)
        cost_s = max(1 / quota.frames, size / quota.bytes)
        paid_s = max(self._paid_s.get(kind, 0.0), now_s - BURST_S) + cost_s
        self._paid_s[kind] = paid_s
        if paid_s <= now_s:
            return 0.0
        self.delays += 1
        return paid_s - now_s
