"""The physical checks, each against what it must find and what it must leave alone."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.checks import physics
from gateway.checks.alarms import EXPLANATIONS, AlarmCode, Verdict
from gateway.epochs.intervals import Interval
from gateway.roster import Meter, Site

EPOCH_S = 900
MELBOURNE = Site(-37.91, 145.13)
TRACES = Path(__file__).parents[2] / "data" / "traces"
METER = Meter(b"m" * 8, bytes(32), "p", 10_000, True, bytes(8), "roof", pv_site=MELBOURNE)
PLAIN = Meter(b"n" * 8, bytes(32), "p", 10_000, True, bytes(8), "room")


def interval(epoch: int = 7, epochs: int = 1, taken: int = 0, given: int = 0) -> Interval:
    return Interval(METER.meter_id, epoch, epochs, taken, given)


def is_odd(verdict: Verdict | None) -> bool:
    assert verdict is not None
    return verdict.finding is not None


def test_energy_beyond_the_rating_is_found_and_up_to_it_left_alone() -> None:
    assert not is_odd(physics.check_rated_power(METER, interval(taken=2500), EPOCH_S))
    assert not is_odd(physics.check_rated_power(METER, interval(epochs=4, given=10_400), EPOCH_S))
    assert is_odd(physics.check_rated_power(METER, interval(given=2700), EPOCH_S))


def test_the_sun_stands_where_an_almanac_has_it() -> None:
    noon = int(datetime(2020, 9, 22, 2, 13, tzinfo=UTC).timestamp())  # equinox: 90° less the latitude, give or take
    assert abs(physics.sun_elevation(MELBOURNE, noon) - (90 - 37.91)) < 0.6
    london_dusk = int(datetime(2024, 6, 20, 20, 21, tzinfo=UTC).timestamp())  # sunset of the almanac: 21:21 BST
    assert abs(physics.sun_elevation(Site(51.51, -0.13), london_dusk)) < 1.0


def test_a_measured_campus_exports_at_night_in_no_epoch_but_a_shifted_one_is_found() -> None:
    """Six PV plants over 14 days: no false alarm as measured, and thousands of findings when moved by 12 hours."""
    found = {shift_h: count_night_findings(shift_h) for shift_h in (0, 12)}
    assert found[0][0] == 0
    assert found[0][1] > 2000
    assert found[12][0] > 1000


def count_night_findings(shift_h: int) -> tuple[int, int]:
    """Return (findings, intervals judged) for the measured PV of one campus, its clock wrong by *shift_h*."""
    odd = judged = 0
    with (TRACES / "monash-2020-09.csv").open() as file:
        for row in csv.DictReader(file):
            if row["kind"] != "pv" or not row["wh"]:
                continue
            start = datetime.fromisoformat(row["start_utc"]) + timedelta(hours=shift_h)
            wh = max(0, int(row["wh"]))
            verdict = physics.check_night(METER, interval(int(start.timestamp()) // EPOCH_S, given=wh), EPOCH_S)
            judged += verdict is not None
            odd += verdict is not None and verdict.finding is not None
    return odd, judged


def test_night_is_not_judged_without_a_site_by_day_or_over_long_gaps() -> None:
    midnight = int(datetime(2020, 9, 22, 14, tzinfo=UTC).timestamp()) // EPOCH_S
    assert is_odd(physics.check_night(METER, interval(midnight, given=100), EPOCH_S))
    assert physics.check_night(PLAIN, interval(midnight, given=100), EPOCH_S) is None
    assert physics.check_night(METER, interval(midnight + 48, given=100), EPOCH_S) is None
    assert physics.check_night(METER, interval(midnight, epochs=96, given=100), EPOCH_S) is None


def test_registers_that_stand_still_under_stated_power_are_found() -> None:
    powers = [500, -480, 510]
    assert is_odd(physics.check_standstill(interval(), powers, EPOCH_S))
    assert not is_odd(physics.check_standstill(interval(taken=1), powers, EPOCH_S))
    assert physics.check_standstill(interval(), [500, 0, 510], EPOCH_S) is None  # it may have been off most of the time
    assert physics.check_standstill(interval(), powers[:2], EPOCH_S) is None
    assert physics.check_standstill(interval(), [40, 40, 40], EPOCH_S) is None  # 10 Wh: one step of a coarse register


def test_on_labelled_stale_data_repeats_are_found_with_full_precision_and_nearly_full_recall() -> None:
    """The first REPEATS - 1 samples of a stale run cannot be told from weather when they come: that bounds recall."""
    with (TRACES / "pv-inverter-stale-labelled.csv").open() as file:
        rows = list(csv.DictReader(file))
    energies = [round(float(row["value_normalized"]) * 2500) if row["value_normalized"] else None for row in rows]
    stale = [row["stale_data_mask"] == "True" for row in rows]
    flagged = [judge_repeats(energies[max(0, end - physics.REPEATS) : end + 1]) for end in range(len(rows))]

    right = sum(both for both in map(lambda a, b: a and b, flagged, stale))
    precision, recall = right / sum(flagged), right / sum(stale)
    print(f"repeated values: precision {precision:.3f}, recall {recall:.3f} on {len(rows)} samples, {sum(stale)} stale")
    assert precision == 1
    assert recall >= 0.95


def judge_repeats(energies: list[int | None]) -> bool:
    """Tell whether the last of *energies*, those of successive epochs, is found to repeat those before."""
    run = list(physics.unbroken(
        interval(epoch, given=energy)
        for epoch, energy in reversed(list(enumerate(energies))) if energy is not None
    ))[::-1]  # fmt: skip
    if energies[-1] is None:
        return False
    verdict = physics.check_repeats(METER, run, EPOCH_S)
    return verdict is not None and verdict.finding is not None


def test_a_feeder_and_what_is_behind_it_must_add_up_within_the_stated_tolerance() -> None:
    behind = [interval(taken=4000), interval(taken=2000, given=100), interval(given=1500)]
    for through_wh, odd in ((4400, False), (4600, False), (4820, True), (4000, True)):
        assert is_odd(physics.check_feeder(interval(taken=through_wh), behind)) is odd
    assert is_odd(physics.check_feeder(interval(given=4400), behind))


def test_every_alarm_has_a_text_and_a_next_step() -> None:
    assert set(EXPLANATIONS) == set(AlarmCode)
    assert all(one.text.endswith(".") and one.next_step.endswith(".") for one in EXPLANATIONS.values())
