"""The twins method (Bano et al., 2020) by enumeration: one authority runs twice, the network is parted round by round.

Four authorities, one of them twice, are five processes. In each round they are parted into two sides in one of 16 ways
(the first process is always on the one side), and one of 4 authorities leads: 64 rounds. Two rounds are 64² = 4,096
schedules, three are 262,144. What is said for one of these rounds does not cross until the network heals, and is only
then said again; later rounds are whole. The number of a schedule, in base 64, is its rounds.
"""

from __future__ import annotations

from typing import Final

from ledger.consensus.timing import Timing
from ledger.simulation.schedule import Habit, Round, Schedule

COUNT: Final = 4
TWIN: Final = COUNT - 1
PROCESSES: Final = (*(str(member) for member in range(COUNT)), f"{TWIN}'")
ROUNDS: Final = 2 ** (len(PROCESSES) - 1) * COUNT
TIMING: Final = Timing(propose_ms=20, prevote_ms=10, precommit_ms=10, growth_ms=5)


def two_rounds(number: int, count: int | None = None) -> Schedule:
    """Return schedule *number* of the 4,096 with two parted rounds; numbers beyond begin anew."""
    return parted(number % ROUNDS**2, 2, count)


def three_rounds(number: int, count: int | None = None) -> Schedule:
    """Return schedule *number* of the 262,144 with three parted rounds."""
    return parted(number % ROUNDS**3, 3, count)


def parted(number: int, rounds: int, count: int | None = None) -> Schedule:
    """Return the schedule whose *rounds* rounds are the digits of *number*."""
    if count not in (None, COUNT):
        raise ValueError(f"the twins method is enumerated for {COUNT} authorities, not {count}")
    return Schedule(
        seed=number,
        count=COUNT,
        habits={TWIN: frozenset({Habit.TWIN})},
        timing=TIMING,
        faulty_ms=600,
        interval_ms=5,
        rounds=tuple(_round(number // ROUNDS**place % ROUNDS) for place in range(rounds)),
    )


def _round(digit: int) -> Round:
    sides, leader = divmod(digit, COUNT)
    with_first = (process for place, process in enumerate(PROCESSES[1:]) if not sides >> place & 1)
    return Round(leader, frozenset({PROCESSES[0], *with_first}))
