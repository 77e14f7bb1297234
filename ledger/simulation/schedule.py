"""One seed's faults, sampled so that each run has a few kinds of them and all runs together have all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from ledger.consensus.timing import Timing
from ledger.envelope import Kind

FAULTY_MS: Final = 6_000
MAX_PARTITIONS: Final = 3
IMPATIENT: Final = Timing(propose_ms=120, prevote_ms=40, precommit_ms=40, growth_ms=60)
"""Timeouts near the delays of the network: rounds fail often, and locks with them."""


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
    """From *start_ms* to *end_ms* nothing passes from *sources* to *targets* (and back, where symmetric)."""

    start_ms: int
    end_ms: int
    sources: frozenset[int]
    is_symmetric: bool

    def cuts(self, now_ms: int, source: int, target: int) -> bool:
        """Tell whether a message from *source* to *target* (authority indices) is lost now."""
        if not self.start_ms <= now_ms < self.end_ms:
            return False
        crosses = (source in self.sources) != (target in self.sources)
        return crosses and (self.is_symmetric or source in self.sources)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that goes wrong in one run. Times in ms, chances in percent, `crash_permille` per effect.

    The network drops `disliked_percent` of the messages of one kind, and proposals take up to `proposal_delay_ms`: near
    timeoutPropose some nodes prevote the block and some nil, some then see Q prevotes and lock, and others do not.
    `crash_at` (authority index, n) cuts one node's power at its n-th opportunity, between two effects or inside one;
    at `blackout_ms` all nodes lose power at once.
    """

    seed: int
    count: int
    habits: dict[int, frozenset[Habit]]
    loss_percent: int
    disliked: Kind
    disliked_percent: int
    proposal_delay_ms: int
    duplication_percent: int
    min_delay_ms: int
    max_delay_ms: int
    slow_percent: int
    partitions: tuple[Partition, ...]
    crash_permille: int
    wiped: int | None
    clock_offsets_ms: tuple[int, ...]
    execution_ms: int
    interval_ms: int
    timing: Timing
    faulty_ms: int = FAULTY_MS
    crash_at: tuple[int, int] | None = None
    blackout_ms: int | None = None


def sample(seed: int) -> Schedule:
    """Return the schedule of *seed*."""
    random = Random(seed)
    count = random.choice([4, 4, 4, 4, 5, 6, 7])
    faults = (count - 1) // 3
    bad = random.sample(range(count), random.choice([0, faults, faults]))
    habits = {index: _habits(random) for index in bad}
    wiped = random.randrange(count) if not bad and random.random() < 0.3 else None
    max_delay_ms = random.choice([20, 100, 400, 1_000, 2_500])
    loss_percent = random.choice([0, 0, 5, 15, 30])
    is_contentious = random.random() < 0.25
    timing = IMPATIENT if is_contentious else random.choice([Timing(), IMPATIENT])
    return Schedule(
        seed=seed,
        count=count,
        habits=habits,
        loss_percent=loss_percent,
        disliked=random.choice([Kind.PREVOTE, Kind.PRECOMMIT]),
        disliked_percent=random.choice([30, 50, 70] if is_contentious else [loss_percent, 50]),
        proposal_delay_ms=random.choice([0, timing.propose_ms, timing.propose_ms * 6 // 5]),
        duplication_percent=random.choice([0, 0, 10, 50]),
        min_delay_ms=1,
        max_delay_ms=max_delay_ms,
        slow_percent=random.choice([0, 10, 40]),
        partitions=tuple(_partition(random, count) for _ in range(random.choice([0, 0, 1, MAX_PARTITIONS]))),
        crash_permille=random.choice([0, 0, 5, 20]),
        wiped=wiped,
        clock_offsets_ms=_clock_offsets(random, count),
        execution_ms=random.choice([1, 20, 200]),
        interval_ms=random.choice([200, 1_000]),
        timing=timing,
        blackout_ms=random.randrange(FAULTY_MS) if random.random() < 0.1 else None,
    )


def calm(seed: int, *, crash_at: tuple[int, int] | None = None, blackout_ms: int | None = None) -> Schedule:
    """Return a schedule of four correct nodes on a good network, with at most one power cut or one blackout."""
    return Schedule(
        seed=seed,
        count=4,
        habits={},
        loss_percent=0,
        disliked=Kind.PREVOTE,
        disliked_percent=0,
        proposal_delay_ms=0,
        duplication_percent=0,
        min_delay_ms=1,
        max_delay_ms=20,
        slow_percent=0,
        partitions=(),
        crash_permille=0,
        wiped=None,
        clock_offsets_ms=(0, 0, 0, 0),
        execution_ms=1,
        interval_ms=200,
        timing=Timing(),
        faulty_ms=1_500,
        crash_at=crash_at,
        blackout_ms=blackout_ms,
    )


def _habits(random: Random) -> frozenset[Habit]:
    alone = random.random()
    if alone < 0.2:
        return frozenset({Habit.SILENT})
    if alone < 0.4:
        return frozenset({Habit.TWIN})
    active = [habit for habit in Habit if habit not in (Habit.SILENT, Habit.TWIN)]
    return frozenset(random.sample(active, random.choice([1, 2, 3, 5, 7])))


def _partition(random: Random, count: int) -> Partition:
    start_ms = random.randrange(FAULTY_MS)
    sources = frozenset(random.sample(range(count), random.randint(1, count - 1)))
    return Partition(start_ms, min(start_ms + random.randint(500, 5_000), FAULTY_MS), sources, random.random() < 0.6)


def _clock_offsets(random: Random, count: int) -> tuple[int, ...]:
    """Clocks mostly agree within the precision; now and then one is seconds off."""
    offsets = [random.randint(-200, 200) for _ in range(count)]
    if random.random() < 0.1:
        offsets[random.randrange(count)] = random.choice([-5_000, 5_000])
    return tuple(offsets)
