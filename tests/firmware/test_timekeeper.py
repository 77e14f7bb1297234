"""The meter's own clock: led, slewed, stepped, held, and never more wrong than it says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter.timekeeper import (
    BOARD_ERROR_MS,
    SLEW_DIVISOR,
    STEP_MS,
    SYNCED_ERROR_MS,
    UNKNOWN_MS,
    WANDER_PPB,
    Timekeeper,
)

START_MS = 1_795_000_500_000
TICKS = 2**30
"""What MicroPython's tick counts wrap at on a 32-bit board."""
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


class Crystal:
    """A board whose ticks go wrong by `ppb` and wrap; `true_ms` is the truth since its start."""

    def __init__(self, ppb: int = 0, board_ms: int = 0, first_tick: int = TICKS - 5000) -> None:
        self.true_ms = 0
        self.ppb = ppb
        self._board_ms = board_ms
        self._passed = 1_000_000_000 * first_tick

    def pass_time(self, step_ms: int) -> None:
        """Let *step_ms* of true time go by."""
        self.true_ms += step_ms
        self._passed += step_ms * (1_000_000_000 - self.ppb)

    def now_ms(self) -> int:
        return self._board_ms + self.true_ms if self._board_ms else self.true_ms

    def ticks_ms(self) -> int:
        return self._passed // 1_000_000_000 % TICKS

    def ticks_since(self, start: int) -> int:
        return (self.ticks_ms() - start + TICKS // 2) % TICKS - TICKS // 2


class Led:
    """A timekeeper on a crystal and servers that tell the true time, give or take *error_ms*."""

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self.keeper = Timekeeper(crystal)

    def follow(self, false_by_ms: int = 0, error_ms: int = 10) -> int:
        """Let the servers lead the clock once, themselves wrong by *false_by_ms*."""
        true_ms = START_MS + self.crystal.true_ms + false_by_ms
        step_ms: int = self.keeper.follow(true_ms - self.keeper.elapsed_ms(), error_ms)
        return step_ms

    def wrong_ms(self) -> int:
        """Return how far the clock is ahead of the truth."""
        wrong_ms: int = self.keeper.now_ms() - START_MS - self.crystal.true_ms
        return wrong_ms

    def run(self, length_ms: int, every_ms: int, step_ms: int = MINUTE_MS) -> None:
        """Be led every *every_ms* for *length_ms*."""
        for place in range(length_ms // step_ms):
            if place * step_ms % every_ms == 0:
                self.follow()
            self.crystal.pass_time(step_ms)


def test_a_clock_that_was_never_set_says_so_and_counts_on() -> None:
    led = Led(Crystal())
    led.crystal.pass_time(1500)
    assert led.keeper.now_ms() == 1500
    assert led.keeper.own() is None
    assert led.keeper.clock_state() == (False, UNKNOWN_MS)


def test_a_possible_time_of_the_board_is_held_over_with_an_unknown_error() -> None:
    led = Led(Crystal(board_ms=START_MS - 70_000))
    led.crystal.pass_time(1000)
    assert led.wrong_ms() == -70_000
    assert led.keeper.clock_state() == (False, UNKNOWN_MS)
    assert led.keeper.own() == (START_MS - 70_000, BOARD_ERROR_MS)


def test_the_first_agreement_sets_the_clock_in_one_step() -> None:
    led = Led(Crystal())
    assert led.follow() == START_MS
    assert led.wrong_ms() == 0
    assert led.keeper.clock_state() == (True, 0)


@pytest.mark.parametrize("false_by_ms", [STEP_MS, -STEP_MS, 37, -1])
def test_a_small_correction_is_slewed_at_the_stated_rate_and_stated_meanwhile(false_by_ms: int) -> None:
    led = Led(Crystal(board_ms=START_MS - false_by_ms))
    assert led.follow() == 0
    for second in range(abs(false_by_ms) * SLEW_DIVISOR // 1000 + 2):
        assert led.keeper.clock_state()[1] == -led.wrong_ms()
        assert abs(led.wrong_ms()) == max(abs(false_by_ms) - 1000 * second // SLEW_DIVISOR, 0)
        led.crystal.pass_time(1000)
    assert led.wrong_ms() == 0


def test_a_large_correction_is_one_step_either_way() -> None:
    led = Led(Crystal())
    led.follow()
    led.crystal.pass_time(HOUR_MS)
    assert led.follow(HOUR_MS) == HOUR_MS
    assert led.follow(-HOUR_MS) == -2 * HOUR_MS
    assert led.wrong_ms() == -HOUR_MS


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-100_000, 100_000),
    st.lists(st.tuples(st.integers(1, 100_000), st.integers(-STEP_MS // 3, STEP_MS // 3)), max_size=25),
)
def test_the_clock_never_runs_backwards_save_in_a_step(ppb: int, rounds: list[tuple[int, int]]) -> None:
    led = Led(Crystal(ppb))
    led.follow()
    shown_ms = led.keeper.now_ms()
    for pause_ms, false_by_ms in rounds:
        for part_ms in (1, 1, 2, pause_ms // 2, 1, pause_ms - pause_ms // 2):
            led.crystal.pass_time(part_ms)
            assert led.keeper.now_ms() >= shown_ms
            shown_ms = led.keeper.now_ms()
        step_ms = led.follow(false_by_ms)
        assert led.keeper.now_ms() - shown_ms == step_ms
        shown_ms += step_ms


def test_ticks_that_wrap_cost_no_time_for_weeks() -> None:
    led = Led(Crystal())
    led.follow()
    for _ in range(60 * 24):  # 60 days; the count wraps after 12.4
        led.crystal.pass_time(HOUR_MS)
        assert abs(led.wrong_ms()) <= 1
    assert led.keeper.elapsed_ms() == 60 * DAY_MS


def test_ticks_that_are_looked_at_but_once_in_six_days_still_count_whole() -> None:
    led = Led(Crystal())
    for _ in range(10):
        led.crystal.pass_time(6 * DAY_MS)
        assert led.keeper.elapsed_ms() == led.crystal.true_ms


@pytest.mark.parametrize("ppb", [40_000, -40_000, 0, 90_000])
def test_drift_is_learnt_to_a_part_in_a_million_and_a_day_of_holdover_costs_less_than_a_tenth_of_a_second(
    ppb: int,
) -> None:
    led = Led(Crystal(ppb))
    led.run(8 * HOUR_MS, 17 * MINUTE_MS)
    assert abs(led.keeper.rate_ppb - ppb) < 1000
    led.crystal.pass_time(DAY_MS)
    assert abs(led.wrong_ms()) < 100


def test_holdover_begins_when_the_error_could_be_too_great_and_says_how_great() -> None:
    led = Led(Crystal(40_000))
    led.run(8 * HOUR_MS, 17 * MINUTE_MS)
    assert led.keeper.clock_state()[0]
    held_ms = 0
    while led.keeper.clock_state()[0]:
        led.crystal.pass_time(10 * MINUTE_MS)
        held_ms += 10 * MINUTE_MS
    assert 20 * HOUR_MS < held_ms < SYNCED_ERROR_MS * 1_000_000_000 // WANDER_PPB
    assert led.keeper.clock_state() == (False, led.keeper.error_ms())
    assert SYNCED_ERROR_MS < led.keeper.error_ms() < SYNCED_ERROR_MS + 10
    led.crystal.pass_time(30 * DAY_MS // 6)
    led.keeper.elapsed_ms()
    led.follow()
    assert led.keeper.clock_state()[0]


def test_an_unknown_crystal_is_trusted_for_an_hour_but_not_for_two() -> None:
    led = Led(Crystal(90_000))
    led.follow()
    led.crystal.pass_time(HOUR_MS)
    assert led.keeper.clock_state()[0]
    led.crystal.pass_time(HOUR_MS)
    assert led.keeper.clock_state() == (False, 729)


def test_the_clock_is_never_more_wrong_than_it_says_through_days_of_warmth_and_outages() -> None:
    crystal = Crystal()
    led = Led(crystal)
    worst_ms = 0
    for minute in range(6 * 24 * 60):
        crystal.ppb = 40_000 + int(WANDER_PPB * 0.5 * math.sin(2 * math.pi * minute / (24 * 60)))
        is_away = 2 * 24 * 60 < minute < 3 * 24 * 60 or 4 * 24 * 60 < minute < 4.7 * 24 * 60
        if minute % 17 == 0 and not is_away:
            led.follow(false_by_ms=minute * 7 % 19 - 9)
        assert abs(led.wrong_ms()) <= led.keeper.error_ms() + 1
        worst_ms = max(worst_ms, abs(led.wrong_ms()))
        crystal.pass_time(MINUTE_MS)
    assert worst_ms < SYNCED_ERROR_MS


def test_what_the_clock_knows_narrows_a_vague_word_down() -> None:
    led = Led(Crystal())
    led.run(HOUR_MS, 10 * MINUTE_MS)
    led.follow(false_by_ms=300, error_ms=400)
    led.crystal.pass_time(HOUR_MS // 2)
    assert abs(led.wrong_ms()) < 30


def test_servers_whose_time_was_set_make_the_rate_unknown_again_not_wrong() -> None:
    led = Led(Crystal(20_000))
    led.run(6 * HOUR_MS, 17 * MINUTE_MS)
    led.follow(2000)
    assert led.keeper.rate_ppb == 0
    for _ in range(8):
        led.crystal.pass_time(17 * MINUTE_MS)
        led.follow(2000)
    assert abs(led.keeper.rate_ppb - 20_000) < 5000
