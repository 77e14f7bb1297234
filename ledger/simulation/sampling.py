"""Schedules drawn from a seed: each run has a few kinds of faults, and all runs together have all."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from ledger.consensus.timing import Timing
from ledger.envelope import Kind
from ledger.simulation.schedule import Change, Clock, Habit, Loss, Partition, Schedule, SetChange, Shortage

MAX_PARTITIONS: Final = 3
COUNTS: Final = (4, 4, 4, 4, 4, 4, 5, 6, 7)
IMPATIENT: Final = Timing(propose_ms=120, prevote_ms=40, precommit_ms=40, growth_ms=60)
"""Timeouts near the delays of the network: rounds fail often, and locks with them."""


def sample(seed: int, count: int | None = None) -> Schedule:
    """Return the schedule of *seed*, with *count* authorities at genesis or as many as the seed says."""
    random = Random(seed)
    drawn = random.choice(COUNTS)
    count = count or drawn
    faults = (count - 1) // 3
    change = _change(random, count) if random.random() < 0.15 else None
    tolerated = (count - 2) // 3 if change is not None and change.change is Change.REMOVE else faults
    bad = random.sample(range(count), random.choice([0, tolerated, tolerated]))
    is_contentious = random.random() < 0.35
    timing = IMPATIENT if is_contentious or random.random() < 0.8 else Timing()
    faulty_ms = random.choice([600, 1_200, 2_000])
    loss_percent = random.choice([0, 0, 5, 15, 30])
    is_spare = len(bad) < tolerated or not bad
    return Schedule(
        seed=seed,
        count=count,
        habits={member: _habits(random) for member in bad},
        timing=timing,
        faulty_ms=faulty_ms,
        loss_percent=loss_percent,
        disliked=random.choice([Kind.PREVOTE, Kind.PRECOMMIT]),
        disliked_percent=random.choice([30, 50, 70] if is_contentious else [loss_percent, 50]),
        proposal_delay_ms=random.choice([0, 0, timing.propose_ms, timing.propose_ms * 6 // 5]),
        duplication_percent=random.choice([0, 0, 10, 50]),
        max_delay_ms=random.choice([100, 400, 1_000, 5_000]),
        slow_percent=random.choice([0, 5, 30]),
        partitions=tuple(_partition(random, count, faulty_ms) for _ in range(random.choice([0, 0, 1, MAX_PARTITIONS]))),
        crash_permille=random.choice([0, 0, 5, 20]),
        blackout_ms=random.randrange(faulty_ms) if random.random() < 0.1 else None,
        loss=_loss(random, count, bad, faulty_ms) if is_spare and random.random() < 0.3 else None,
        shortage=_shortage(random, count, faulty_ms) if random.random() < 0.1 else None,
        sync_ms=random.choice([0, 0, 0, 5, 50]),
        clocks=_clocks(random, count + 1),
        execution_ms=random.choice([1, 1, 20, 100]),
        interval_ms=random.choice([50, 100, 400]),
        change=change,
    )


def calm(seed: int, *, crash_at: tuple[int, int] | None = None, blackout_ms: int | None = None) -> Schedule:
    """Return a schedule of four correct nodes on a good network, with at most one power cut or one blackout."""
    return Schedule(
        seed=seed,
        count=4,
        habits={},
        timing=Timing(),
        faulty_ms=1_500,
        crash_at=crash_at,
        blackout_ms=blackout_ms,
    )


def with_set_change(seed: int, count: int | None = None) -> Schedule:
    """Return the schedule of *seed* with a change of the set of authorities, and no disk lost besides."""
    random, drawn = Random(f"membership {seed}"), sample(seed, count)
    change = _change(random, drawn.count)
    habits = drawn.habits
    if change.change is Change.REMOVE:
        habits = dict(list(habits.items())[: (drawn.count - 2) // 3])
    return replace(drawn, change=change, habits=habits, loss=None, faulty_ms=2_500, interval_ms=50)


def _habits(random: Random) -> frozenset[Habit]:
    alone = random.random()
    if alone < 0.15:
        return frozenset({Habit.SILENT})
    if alone < 0.4:
        return frozenset({Habit.TWIN})
    active = [habit for habit in Habit if habit not in (Habit.SILENT, Habit.TWIN)]
    return frozenset(random.sample(active, random.choice([1, 2, 3, 5, 7])))


def _partition(random: Random, count: int, faulty_ms: int) -> Partition:
    start_ms = random.randrange(faulty_ms)
    sources = frozenset(random.sample(range(count), random.randint(1, count - 1)))
    return Partition(start_ms, start_ms + random.randint(200, faulty_ms), sources, random.random() < 0.6)


def _change(random: Random, count: int) -> SetChange:
    kinds = list(Change) if count > 4 else [Change.ADD, Change.ROTATE]
    return SetChange(random.choice(kinds), random.choice([1, 2, 3]), random.randrange(800), random.random() < 0.5)


def _loss(random: Random, count: int, bad: list[int], faulty_ms: int) -> Loss:
    at_ms = random.randrange(faulty_ms)
    backup_ms = random.randrange(at_ms + 1) if random.random() < 0.5 else None
    member = random.choice([member for member in range(count) if member not in bad])
    return Loss(member, at_ms, backup_ms, backup_ms is not None and random.random() < 0.2)


def _shortage(random: Random, count: int, faulty_ms: int) -> Shortage:
    start_ms = random.randrange(faulty_ms)
    return Shortage(random.randrange(count), start_ms, min(start_ms + random.randint(100, 1_500), faulty_ms))


def _clocks(random: Random, count: int) -> tuple[Clock, ...]:
    """Clocks mostly agree within the precision; now and then one is seconds off, drifts, or steps back."""
    clocks = [Clock(random.randint(-200, 200)) for _ in range(count)]
    if random.random() < 0.2:
        odd = random.choice(
            [Clock(5_000), Clock(-5_000), Clock(0, 500), Clock(0, -500), Clock(0, 0, -3_000, random.randrange(2_000))]
        )
        clocks[random.randrange(count)] = odd
    return tuple(clocks)
