"""Measured series, and the power that a virtual meter takes from them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import tools
from hil.errors import TraceError
from hil.resources import trace
from hil.resources.trace import NS_PER_S, SLOT, Schedule

POWERS_W = (1000, -250, 0, 7)
SCHEDULE = Schedule(POWERS_W, first_slot=2, first_epoch=100, epoch_s=10)


def test_the_shipped_trace_covers_two_weeks_of_ten_series() -> None:
    found = trace.load(tools.TRACE)
    assert len(found.energy_wh) == 10
    assert {len(values) for values in found.energy_wh.values()} == {14 * 96}


def test_a_missing_value_is_held_from_the_slot_before(tmp_path: Path) -> None:
    rows = [
        "2020-01-01T00:00:00Z,A,",
        "2020-01-01T00:15:00Z,A,5",
        "2020-01-01T00:30:00Z,A,",
        "2020-01-01T00:45:00Z,A,6",
    ]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["start_utc,meter,wh", *rows]))
    assert trace.load(path).energy_wh["A"] == (0, 5, 5, 6)


def test_power_is_four_times_the_energy_of_a_quarter_hour(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("start_utc,meter,wh\n2020-01-01T00:00:00Z,A,1000\n")
    assert trace.load(path).power_w("A", 1000) == (4000,)
    assert trace.load(path).power_w("A", 160) == (640,)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("start_utc,meter\n2020-01-01T00:00:00Z,A\n", "columns"),
        ("start_utc,meter,wh\nyesterday,A,1\n", "columns"),
        ("start_utc,meter,wh\n2020-01-01T00:00:00Z,A,much\n", "columns"),
        ("start_utc,meter,wh\n", "same slots"),
        ("start_utc,meter,wh\n2020-01-01T00:00:00Z,A,1\n2020-01-01T00:20:00Z,A,1\n", "15 minutes"),
        ("start_utc,meter,wh\n2020-01-01T00:00:00Z,A,1\n2020-01-01T00:15:00Z,B,1\n", "same slots"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_in_one_line(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content)
    with pytest.raises(TraceError, match=text) as refused:
        trace.load(path)
    assert "\n" not in str(refused.value)


def test_a_slot_outside_of_the_trace_and_an_unknown_series_are_refused() -> None:
    found = trace.load(tools.TRACE)
    assert found.slot(found.start + SLOT) == 1
    with pytest.raises(TraceError, match="covers 1344 slots"):
        found.slot(found.start - timedelta(seconds=1))
    with pytest.raises(TraceError, match="covers 1344 slots"):
        found.slot(datetime(2021, 1, 1, tzinfo=UTC))
    with pytest.raises(TraceError, match="MON-Solar0"):
        found.power_w("MON-Building2", 1000)


def test_each_epoch_takes_its_power_from_the_next_slot() -> None:
    at = [SCHEDULE.power_at(epoch * 10 * NS_PER_S) for epoch in range(98, 104)]
    assert at == [1000, -250, 0, 7, 1000, -250]


@given(st.lists(st.integers(min_value=0, max_value=200 * NS_PER_S), min_size=2, max_size=8))
def test_energy_does_not_depend_on_how_often_the_meter_looks(moments: list[int]) -> None:
    start = 1000 * NS_PER_S
    times = sorted(start + moment for moment in moments)
    parts = [SCHEDULE.energy_w_ns(a, b) for a, b in itertools.pairwise(times)]
    assert tuple(map(sum, zip(*parts, strict=True))) == SCHEDULE.energy_w_ns(times[0], times[-1])


def test_energy_is_power_times_elapsed_time_to_the_last_nanosecond() -> None:
    start = 102 * 10 * NS_PER_S
    assert SCHEDULE.energy_w_ns(start, start + 3) == (3000, 0)
    assert SCHEDULE.energy_w_ns(start + 5 * NS_PER_S, start + 15 * NS_PER_S) == (5000 * NS_PER_S, 1250 * NS_PER_S)
    assert SCHEDULE.energy_w_ns(start, start) == (0, 0)
