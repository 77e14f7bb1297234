"""Boundaries: each once, none twice, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter.board import linux
from meter.clock import GUARD_MS, MAX_LEAD_EPOCHS, Boundaries, Telemetry, tolerance_ms
from meter.unix_time import is_set

from tests.firmware.conftest import RunScript

T0 = 1_795_000_500_000
"""A multiple of 900 s, in ms."""
EPOCH_MS = 900_000


def test_each_boundary_is_due_once() -> None:
    boundaries = Boundaries(900, (), T0 + 5 * 60_000)
    due = [boundaries.due(T0 + second * 1000) for second in range(300, 4000)]
    assert [epoch for epoch in due if epoch is not None] == [T0 // EPOCH_MS + place for place in (1, 2, 3, 4)]


def test_a_clock_set_back_repeats_no_boundary_and_skips_none() -> None:
    boundaries = Boundaries(900, (), T0 - 1000)
    assert boundaries.due(T0 + 20) == T0 // EPOCH_MS
    for back in (10, 3000, 600_000, EPOCH_MS, 3 * EPOCH_MS):
        assert boundaries.due(T0 + 20 - back) is None
    assert boundaries.due(T0 + EPOCH_MS) == T0 // EPOCH_MS + 1


def test_a_clock_set_on_over_a_boundary_takes_it_at_once() -> None:
    boundaries = Boundaries(900, (), T0 - 3000)
    assert boundaries.due(T0 - 1) is None
    assert boundaries.due(T0 + 2500) == T0 // EPOCH_MS


def test_a_clock_set_on_by_hours_takes_the_present_boundary_only() -> None:
    boundaries = Boundaries(900, (), T0)
    assert boundaries.due(T0 + 8 * EPOCH_MS + 7) == T0 // EPOCH_MS + 8
    assert boundaries.due(T0 + 8 * EPOCH_MS + 8) is None


def test_a_restart_takes_the_boundary_that_it_just_missed_but_none_that_it_has() -> None:
    epoch = T0 // EPOCH_MS
    assert Boundaries(900, [epoch - 1], T0 + 8999).due(T0 + 8999) == epoch
    assert Boundaries(900, [epoch], T0 + 8999).due(T0 + 8999) is None
    assert Boundaries(900, [epoch - 1], T0 + 9001).due(T0 + 9001) is None


def test_a_last_boundary_of_a_mad_clock_does_not_silence_the_meter_for_ever() -> None:
    epoch = T0 // EPOCH_MS
    boundaries = Boundaries(900, [epoch + MAX_LEAD_EPOCHS + 1], T0)
    assert boundaries.due(T0) is None
    assert boundaries.due(T0 + EPOCH_MS) == epoch + 1


def test_boundaries_that_a_mad_clock_took_ahead_are_passed_over_when_they_come() -> None:
    epoch = T0 // EPOCH_MS
    ahead = [epoch + MAX_LEAD_EPOCHS + place for place in (10, 11, 14)]
    boundaries = Boundaries(900, [epoch - 1, *ahead, epoch], T0)
    due = [boundaries.due(T0 + place * EPOCH_MS) for place in range(1, MAX_LEAD_EPOCHS + 20)]
    assert [found for found in due if found is not None] == [
        epoch + place for place in range(1, MAX_LEAD_EPOCHS + 20) if epoch + place not in ahead
    ]


@given(st.lists(st.integers(-MAX_LEAD_EPOCHS * 4000, MAX_LEAD_EPOCHS * 4000), max_size=60), st.data())
def test_no_leap_of_the_clock_nor_restart_repeats_a_boundary(leaps: list[int], data: st.DataObject) -> None:
    now_ms = T0
    taken: list[int] = []
    boundaries = Boundaries(2, taken, now_ms)
    for leap_ms in leaps:
        now_ms = max(now_ms + leap_ms, T0 // 2)
        if data.draw(st.booleans()):
            boundaries = Boundaries(2, taken, now_ms)
        for _ in range(3):
            now_ms += 900
            epoch = boundaries.due(now_ms)
            if epoch is not None:
                taken.append(epoch)
    assert len(taken) == len(set(taken))


@given(st.lists(st.integers(-5000, 5000), max_size=60), st.sampled_from([2, 10, 900]))
def test_no_walk_of_the_clock_repeats_or_reorders_a_boundary(steps: list[int], epoch_s: int) -> None:
    now_ms = T0
    boundaries = Boundaries(epoch_s, (), now_ms)
    taken = []
    for step in steps:
        now_ms += step + 1000
        epoch = boundaries.due(now_ms)
        if epoch is not None:
            assert epoch == now_ms // (1000 * epoch_s)
            taken.append(epoch)
    assert taken == sorted(set(taken))


def test_the_wait_ends_at_the_boundary() -> None:
    boundaries = Boundaries(900, (), T0)
    assert boundaries.wait_ms(T0 + 1) == EPOCH_MS - 1
    assert boundaries.wait_ms(T0) == EPOCH_MS


@pytest.mark.parametrize(("epoch_s", "expected_ms"), [(10, 2000), (200, 2000), (900, 9000)])
def test_the_tolerance_is_two_seconds_or_one_percent(epoch_s: int, expected_ms: int) -> None:
    assert tolerance_ms(epoch_s) == expected_ms


def test_telemetry_comes_once_a_period_and_never_just_before_a_boundary() -> None:
    telemetry = Telemetry(60, b"\0" * 8, T0)
    assert not telemetry.is_due(T0 + 59_999, 10_000)
    assert not telemetry.is_due(T0 + 60_000, GUARD_MS - 1)
    assert telemetry.is_due(T0 + 60_100, 10_000)
    assert not telemetry.is_due(T0 + 60_200, 10_000)


def test_meters_have_phases_of_their_own() -> None:
    waits = {Telemetry(60, bytes([place]) * 8, T0).wait_ms(T0) for place in range(10)}
    assert len(waits) == 10


def test_a_clock_that_was_never_set_is_known() -> None:
    assert not is_set(0)
    assert is_set(T0)


def test_linux_tells_the_kernels_own_state_on_both_interpreters(run_script: RunScript) -> None:
    printed = run_script("from meter.board import linux\nprint(linux.clock_state())").strip()
    is_synced, offset_ms = linux.clock_state()
    assert printed.startswith(f"({is_synced}, ")
    assert abs(offset_ms) <= 32767
