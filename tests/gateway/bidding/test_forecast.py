"""The forecast from a meter's own last days, held against persistence on measured series."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bidding.forecast import Forecast, forecast, persist
from gateway.epochs.intervals import Interval
from hil.resources.trace import load

TRACE = Path("tests/data/traces/monash-2020-09.csv")
DAY = 96
METER = b"m" * 8


def test_it_adds_what_persistence_missed_at_this_time_of_the_last_days_by_the_median() -> None:
    missed = (30, 50, 4000)
    days = [
        Interval(METER, 10 * DAY - DAY * day + shift, 1, 0, wh)
        for day, miss in zip((3, 2, 1), missed, strict=True)
        for shift, wh in ((-3, 100), (-2, 100), (0, 100 + miss))
    ]
    now = [Interval(METER, 10 * DAY - 3, 1, 0, 200), Interval(METER, 10 * DAY - 2, 1, 0, 200)]
    assert persist(now) == Forecast(METER, 0, 200)
    assert forecast([*days, *now], 10 * DAY, DAY) == Forecast(METER, 0, 250)
    assert forecast([*days[3:], *now], 10 * DAY, DAY) == Forecast(METER, 0, 200 + (50 + 4000) // 2)


def test_without_earlier_days_it_is_persistence_and_without_now_it_is_nothing() -> None:
    now = [Interval(METER, 97, 1, 300, 0), Interval(METER, 98, 1, 600, 0)]
    assert forecast(now, 100, DAY) == persist(now) == Forecast(METER, 500, 0)
    assert forecast(now, 98 + DAY, DAY) is None
    assert forecast([], 100, DAY) is None


def test_a_day_with_a_gap_is_left_out() -> None:
    now = [Interval(METER, 2 * DAY - 3, 1, 100, 0), Interval(METER, 2 * DAY - 2, 1, 100, 0)]
    gap = [Interval(METER, DAY - 3, 1, 100, 0), Interval(METER, DAY - 2, 2, 900, 0), Interval(METER, DAY, 1, 900, 0)]
    assert forecast([*gap, *now], 2 * DAY, DAY) == Forecast(METER, 100, 0)


def test_it_never_expects_less_than_nothing() -> None:
    values = ((DAY - 3, 500), (DAY - 2, 500), (DAY, 0), (2 * DAY - 3, 10), (2 * DAY - 2, 10))
    assert forecast([Interval(METER, epoch, 1, wh, wh) for epoch, wh in values], 2 * DAY, DAY) == Forecast(METER, 0, 0)


@pytest.mark.parametrize(("kind", "highest_permille"), [("Solar", 800), ("Building", 1000)])
def test_on_measured_days_it_errs_less_than_persistence(kind: str, highest_permille: int) -> None:
    """All slots after the first day, two epochs ahead as the agents order; sums of absolute errors in Wh."""
    total_old = total_new = 0
    for name, energy_wh in load(TRACE).energy_wh.items():
        if kind in name:
            old, new = _errors(energy_wh)
            print(f"{name}: forecast errs {new * 1000 // old} permille of persistence ({new} against {old} Wh)")
            total_old, total_new = total_old + old, total_new + new
    print(f"{kind}: {total_new * 1000 // total_old} permille")
    assert 0 < total_new * 1000 < total_old * highest_permille


def _errors(energy_wh: tuple[int, ...]) -> tuple[int, int]:
    """Return the summed errors of persistence and of the forecast over *energy_wh*."""
    series = [Interval(METER, epoch, 1, 0, wh) for epoch, wh in enumerate(energy_wh)]
    old = new = 0
    for epoch in range(DAY, len(series)):
        spans = [(epoch - DAY * day - 3, epoch - DAY * day + 1) for day in range(7, 0, -1)]
        past = [one for first, last in spans if first >= 0 for one in series[first:last]]
        now = series[epoch - 3 : epoch - 1]
        persisted, expected = persist(now), forecast([*past, *now], epoch, DAY)
        assert persisted is not None
        assert expected is not None
        old += abs(persisted.export_wh - energy_wh[epoch])
        new += abs(expected.export_wh - energy_wh[epoch])
    return old, new
