"""The kinds of batches that `campusgrid ledger simulate` runs: how a seed becomes a schedule, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ledger.simulation import coverage, twins
from ledger.simulation.sampling import calm, sample, with_set_change
from ledger.simulation.schedule import Change, Schedule
from ledger.simulation.world import Outcome, run

BUSY_MS: Final = 2_600
"""So long that what is ordered is delivered, reported and settled."""
EXECUTED: Final = frozenset(
    {
        "decided", "money.transfer", "registry.assign_meter", "registry.rebase", "registry.delegate",
        "market.create_sell_order", "market.create_buy_order", "market.cancel_order", "market.report_intervals",
        "money.issue", "governance.pause", "settlement line",
    }
)  # fmt: skip
"""What a batch with the real runtime must have done."""


@dataclass(frozen=True, slots=True)
class Profile:
    """*draw* makes the schedule of (seed, number of authorities or None), *run* runs it; *rules* must all fire."""

    text: str
    draw: Callable[[int, int | None], Schedule]
    rules: frozenset[str]
    min_round: int = 0
    min_heights: float = 1.0
    run: Callable[[Schedule], Outcome] = run


def draw_calm(seed: int, count: int | None) -> Schedule:
    """Return a run of correct nodes on a good network with one power cut, at the instant that the seed names."""
    return replace(calm(seed, crash_at=(seed % (count or 4), 1 + seed // 4 % 60)), count=count or 4)


def draw_busy(seed: int, count: int | None) -> Schedule:
    """Return a swarm schedule whose authorities change only as they can decide beforehand: nobody joins."""
    drawn = sample(seed, count)
    change = drawn.change
    if change is not None and change.change is Change.ADD:
        change = replace(change, change=Change.ROTATE)
    return replace(drawn, faulty_ms=BUSY_MS, change=change)


def _run_executed(schedule: Schedule) -> Outcome:
    from ledger.simulation.runtime import run_executed  # noqa: PLC0415 - the runtime takes a while to load

    return run_executed(schedule)


PROFILES: Final[Mapping[str, Profile]] = {
    "swarm": Profile("all kinds of faults, some in each run", sample, coverage.RULES, 3, coverage.MIN_HEIGHTS),
    "twins": Profile("one authority twice, two parted rounds: 4,096", twins.two_rounds, coverage.TWIN_RULES, 2),
    "twins3": Profile("the same with three parted rounds: 262,144", twins.three_rounds, coverage.TWIN_RULES, 3),
    "membership": Profile(
        "the set of authorities changes in mid-run", with_set_change, frozenset({"decided under a changed set"})
    ),
    "crash": Profile("one power cut, at one instant after the other", draw_calm, frozenset({"crash"})),
    "runtime": Profile("the real runtime and real signatures", draw_busy, EXECUTED, run=_run_executed),
}
