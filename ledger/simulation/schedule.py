"""Everything that goes wrong in one run, as data: `sampling.py` draws it, `twins.py` enumerates it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger.consensus.timing import Timing
from ledger.envelope import Kind

FOREVER_MS: Final = 10**9


class Habit(Enum):
    """One way in which a Byzantine authority misbehaves; it may have several."""

    SILENT = "silent"
    TWIN = "twin"
    EQUIVOCATE = "equivocate"
    FORGET_LOCKS = "forget_locks"
    LIE = "lie"
    FLOOD = "flood"
    CORRUPT = "corrupt"
    REPLAY = "replay"
    SELECTIVE = "selective"
    BAD_BLOCK = "bad_block"


@dataclass(frozen=True, slots=True)
class Partition:
    """From *start_ms* to *end_ms* nothing passes from *sources* to the others (nor back, where symmetric)."""

    start_ms: int
    end_ms: int
    sources: frozenset[int]
    is_symmetric: bool

    def cuts(self, now_ms: int, source: int, target: int) -> bool:
        """Tell whether a message from member *source* to member *target* is lost now."""
        if not self.start_ms <= now_ms < self.end_ms:
            return False
        crosses = (source in self.sources) != (target in self.sources)
        return crosses and (self.is_symmetric or source in self.sources)


@dataclass(frozen=True, slots=True)
class Clock:
    """One member's wall clock: wrong by *offset_ms*, gaining *drift_ppm*, stepped by *step_ms* at *step_at_ms*."""

    offset_ms: int = 0
    drift_ppm: int = 0
    step_ms: int = 0
    step_at_ms: int = 0

    def read_ms(self, now_ms: int) -> int:
        """Return what it shows, in ms since the start of the run."""
        step_ms = self.step_ms if now_ms >= self.step_at_ms else 0
        return now_ms + self.offset_ms + step_ms + now_ms * self.drift_ppm // 1_000_000


@dataclass(frozen=True, slots=True)
class Loss:
    """At *at_ms* a member's disk is replaced: by what it held at *backup_ms*, or by an empty one (None).

    `is_undone`: power fails before the renaming of the new file is on the disk, and the old one is there again.
    """

    member: int
    at_ms: int
    backup_ms: int | None
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class Shortage:
    """A member's disk takes nothing from *start_ms* to *end_ms*."""

    member: int
    start_ms: int
    end_ms: int


class Change(Enum):
    """What becomes of the set of authorities in mid-run."""

    ADD = "add"
    REMOVE = "remove"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class SetChange:
    """The first block of *at_height* or more changes the set: the last member joins, leaves, or gets another key.

    Who joins has copied the chain before, at *joins_ms*, block by block or (`by_snapshot`) at once.
    """

    change: Change
    at_height: int
    joins_ms: int
    by_snapshot: bool


@dataclass(frozen=True, slots=True)
class Round:
    """A round of the twins method: who leads it, and which processes are on one side of the network."""

    leader: int
    side: frozenset[str]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that goes wrong in one run. Times in ms, chances in percent, `crash_permille` per effect.

    The network drops `disliked_percent` of the messages of one kind, and proposals take up to `proposal_delay_ms`: near
    timeoutPropose some nodes prevote the block and some nil, some then see Q prevotes and lock, and others do not.
    `crash_at` (member, n) cuts one node's power at its n-th opportunity, between two effects or inside one; at
    `blackout_ms` all nodes lose power at once. With `rounds` the network does what these say and nothing else.
    """

    seed: int
    count: int
    habits: dict[int, frozenset[Habit]]
    timing: Timing
    faulty_ms: int
    loss_percent: int = 0
    disliked: Kind = Kind.PREVOTE
    disliked_percent: int = 0
    proposal_delay_ms: int = 0
    duplication_percent: int = 0
    min_delay_ms: int = 1
    max_delay_ms: int = 20
    slow_percent: int = 0
    partitions: tuple[Partition, ...] = ()
    crash_permille: int = 0
    crash_at: tuple[int, int] | None = None
    blackout_ms: int | None = None
    loss: Loss | None = None
    shortage: Shortage | None = None
    sync_ms: int = 0
    clocks: tuple[Clock, ...] = ()
    execution_ms: int = 1
    interval_ms: int = 200
    change: SetChange | None = None
    rounds: tuple[Round, ...] = ()

    def wait_before(self, height: int) -> int:
        """Return how long after the last block round 0 of *height* may start; `rounds` are about height 1 alone."""
        return self.interval_ms if height == 1 or not self.rounds else FOREVER_MS

    def lets_pass(self, round_: int, source: str, target: str) -> bool:
        """Tell whether *rounds* let a message of *round_* pass between two processes."""
        if round_ >= len(self.rounds):
            return True
        side = self.rounds[round_].side
        return (source in side) == (target in side)

    def clock(self, member: int) -> Clock:
        """Return a member's clock."""
        return self.clocks[member] if member < len(self.clocks) else Clock()
