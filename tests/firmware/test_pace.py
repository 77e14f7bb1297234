"""The pace of a backlog: a lone meter goes fast, a whole campus leaves room for new readings; in virtual time."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import mqtt, pace
from meter.outbox import RESEND_FIRST_MS
from meter.pace import LEAST, MAX_PAUSE_MS, MOST, ONE, SOON_MS, STEP, TARGET_MS, Pace

from tests.firmware.conftest import Tell
from tests.firmware.paced_campus import Campus, PacedMeter

RATE = 3300
"""Readings a second that the gateway takes (`make bench ONLY=gateway`), for a campus of 5,000 meters."""
CAMPUS_METERS = 5000
METERS = 500
"""Stand for all of them, before a gateway that is slower by as much: each waits for as many others as there."""
BACKLOG = 60
NEW_PERIOD_MS = 60_000
BAR_MS = 2000


def test_the_window_doubles_from_one_to_its_limit_while_receipts_come_soon() -> None:
    tried = Pace()
    windows = [tried.window]
    for _ in range(8):
        tried.took(SOON_MS, was_full=True)
        windows.append(tried.window)
    assert windows == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert tried.pause_ms == 0


def test_it_opens_step_by_step_where_receipts_are_neither_soon_nor_late() -> None:
    tried = Pace()
    for _ in range(ONE // STEP):
        assert tried.window == 1
        tried.took(TARGET_MS, was_full=True)
    assert (tried.window, tried.pause_ms) == (2, 0)


def test_a_late_receipt_takes_a_quarter_and_then_the_window_opens_step_by_step() -> None:
    tried = Pace()
    for _ in range(5):
        tried.took(1, was_full=True)
    tried.took(TARGET_MS + 1, was_full=True)
    assert tried.window == 24
    for _ in range(ONE // STEP):
        assert tried.window == 24
        tried.took(1, was_full=True)
    assert tried.window == 25


def test_where_no_receipt_comes_at_all_each_sending_anew_carries_eight_times_as_much_without_a_pause() -> None:
    tried = Pace()
    for _ in range(9):
        tried.took(TARGET_MS + 1, was_full=True)
    assert tried.pause_ms > 0
    windows = []
    for _ in range(3):
        tried.unheard()
        windows.append((tried.window, tried.pause_ms))
    assert windows == [(8, 0), (64, 0), (64, 0)]


def test_a_meter_that_pauses_after_late_receipts_goes_on_without_pauses_once_they_come_soon() -> None:
    tried = Pace()
    for _ in range(9):
        tried.took(900, was_full=True)
    assert (tried.window, tried.pause_ms) == (1, 2700)
    tried.took(9000, was_full=True)
    assert tried.pause_ms == MAX_PAUSE_MS
    for _ in range((ONE - LEAST) // STEP):
        tried.took(100, was_full=True)
    assert (tried.window, tried.pause_ms) == (1, 0)


def test_a_window_that_was_not_filled_does_not_open() -> None:
    tried = Pace()
    for _ in range(100):
        tried.took(1, was_full=False)
    assert tried.window == 1


@given(st.lists(st.tuples(st.integers(0, 2**29), st.booleans())))
def test_whatever_receipts_take_at_least_one_reading_goes_before_it_would_be_sent_again(
    taken: list[tuple[int, bool]],
) -> None:
    tried = Pace()
    for ms, was_full in taken:
        tried.took(ms, was_full)
        assert 1 <= tried.window <= MOST // ONE
        assert 0 <= tried.pause_ms <= MAX_PAUSE_MS < RESEND_FIRST_MS


@pytest.mark.parametrize("rate", [7, 30, 100, RATE])
def test_a_lone_meter_drains_a_day_as_fast_as_without_a_pace(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken_ms = []
    for start in (pace.START, MOST):
        monkeypatch.setattr(pace, "START", start)
        taken_ms.append(drain_alone(rate))
    assert taken_ms[0] <= 1.03 * taken_ms[1]


def test_a_meter_without_a_backlog_keeps_the_least_window_and_sends_each_new_reading_at_once() -> None:
    campus = Campus(0, 0, RATE)
    meter = PacedMeter(campus, 0)
    for _ in range(200):
        campus.sign(meter)
        campus.run(lambda: meter.journal.receipted == meter.journal.sequence, campus.now_ms + 1000)
    assert max(campus.waited_ms) < 100
    assert meter.outbox._pace.window == 1


def test_new_boundary_readings_do_not_wait_for_pace_or_pause() -> None:
    campus = Campus(1, 1440, 1)  # a second for each reading
    (meter,) = campus.meters
    campus.run(lambda: meter.outbox._pace.pause_ms > 0, 100_000)
    before = campus.now_ms
    campus.sign(meter)
    campus.run(lambda: len(campus.waited_ms) == 1, before + 100_000)
    assert campus.now_ms - before < 1200


def test_a_boundary_reading_sent_early_takes_no_room_from_the_backlog_before_it() -> None:
    campus = Campus(1, 200, 100)
    campus.sign(campus.meters[0])
    campus.run(lambda: campus.done == 201, RESEND_FIRST_MS)


def test_a_new_session_begins_with_the_least_window_however_fast_the_last_one_was() -> None:
    campus = Campus(1, 1440, RATE)
    outbox = campus.meters[0].outbox
    campus.run(lambda: campus.done == 1440, 100_000)
    assert outbox._pace.window > 8
    outbox.begin(mqtt.V5, mqtt.TERMS, is_resumed=False)
    assert outbox._pace.window == 1


def test_new_readings_pass_a_campus_that_comes_back_from_a_day_without_a_gateway(tell: Tell) -> None:
    campus = come_back()
    waited = sorted(campus.waited_ms)
    p99_ms, share = waited[len(waited) * 99 // 100], campus.done * 1000 / campus.now_ms / campus.rate
    tell(
        f"{CAMPUS_METERS} meters come back at once: new readings are stored in {p99_ms / 1000:.1f} s (99 %), while the"
        f" backlog drains at {100 * share:.0f} % of the gateway's rate"
    )
    assert len(waited) > 500
    assert p99_ms <= BAR_MS
    assert share >= 0.9
    assert campus.longest_queue < 2 * METERS


def test_a_boundary_of_the_whole_campus_waits_for_its_own_readings_and_the_target_alone(tell: Tell) -> None:
    campus = Campus(METERS, BACKLOG, RATE * METERS // CAMPUS_METERS)
    for meter in campus.meters:
        campus.after(20_000, partial(campus.sign, meter))
    campus.run(lambda: len(campus.waited_ms) == METERS, 100_000)
    waited = sorted(campus.waited_ms)
    p99_ms = waited[len(waited) * 99 // 100]
    tell(
        f"a boundary of all {CAMPUS_METERS} in the midst of it: {p99_ms / 1000:.1f} s (99 %), of which"
        f" {CAMPUS_METERS / RATE:.1f} s for as many readings themselves"
    )
    assert p99_ms <= 1000 * METERS / campus.rate + 1.5 * TARGET_MS
    campus.run(lambda: campus.done == METERS * (BACKLOG + 1), 200_000)


def test_without_the_pace_it_would_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "START", MOST)
    monkeypatch.setattr(pace, "LEAST", MOST)
    campus = Campus(METERS, BACKLOG, RATE * METERS // CAMPUS_METERS)
    campus.after(5000, partial(campus.sign, PacedMeter(campus, 0)))
    campus.run(lambda: bool(campus.waited_ms), 100_000)
    assert campus.waited_ms[0] > 5 * BAR_MS


def drain_alone(rate: int) -> int:
    """Return in how many ms a meter alone drains a day before a gateway of *rate* readings a second."""
    campus = Campus(1, 1440, rate)
    campus.run(lambda: campus.done == 1440, 1_000_000)
    return campus.now_ms


def come_back() -> Campus:
    """Return a campus that has drained, and beside which other meters sent as many new readings as all do."""
    campus = Campus(METERS, BACKLOG, RATE * METERS // CAMPUS_METERS)
    others = [PacedMeter(campus, 0) for _ in range(METERS // 10)]

    def take(place: int) -> None:
        campus.sign(others[place % len(others)])
        campus.after(NEW_PERIOD_MS // METERS, partial(take, place + 1))

    take(0)
    campus.run(lambda: campus.done >= METERS * BACKLOG + len(others), 10 * METERS * BACKLOG * 1000 // campus.rate)
    return campus
