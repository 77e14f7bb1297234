"""From a schedule that breaks a promise to the smallest one that still does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, Final

from ledger.consensus.timing import Timing
from ledger.simulation.schedule import Schedule
from ledger.simulation.witness import Violation

MAX_RUNS: Final = 120
KEPT: Final = frozenset({"seed", "count", "timing", "faulty_ms", "habits", "partitions", "rounds"})
"""Fields that have no default to go back to, or are reduced piece by piece."""


def shrink(schedule: Schedule, violate: Callable[[Schedule], str | None], max_runs: int = MAX_RUNS) -> Schedule:
    """Return a schedule with fewer faults for which *violate* still tells the same violation."""
    wanted, runs = _kind(violate(schedule)), 0
    is_smaller = wanted is not None
    while is_smaller:
        is_smaller = False
        for candidate in _simpler(schedule):
            runs += 1
            if runs > max_runs:
                return schedule
            if _kind(violate(candidate)) == wanted:
                schedule, is_smaller = candidate, True
                break
    return schedule


def violation_of(schedule: Schedule, run: Callable[[Schedule], object]) -> str | None:
    """Return what *run* says is broken, or None."""
    try:
        run(schedule)
    except Violation as violation:
        return str(violation)
    return None


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules that lack one thing each."""
    for place in range(len(schedule.partitions)):
        yield replace(schedule, partitions=schedule.partitions[:place] + schedule.partitions[place + 1 :])
    for member, habits in schedule.habits.items():
        yield replace(schedule, habits={other: kept for other, kept in schedule.habits.items() if other != member})
        for habit in sorted(habits, key=lambda one: one.value) if len(habits) > 1 else ():
            yield replace(schedule, habits={**schedule.habits, member: habits - {habit}})
    for field in fields(Schedule):
        if field.name not in KEPT and getattr(schedule, field.name) != field.default:
            plain: dict[str, Any] = {field.name: field.default}
            yield replace(schedule, **plain)
    if schedule.timing != Timing():
        yield replace(schedule, timing=Timing())


def _kind(text: str | None) -> str | None:
    """Return the violation without what differs from run to run: node, times, numbers, values."""
    return None if text is None else re.sub(r"b'.*?'|\d+|\{.*", "", text.rpartition("ms: ")[2].partition(": ")[2])[:40]
