"""The physical checks. Pure: intervals, the roster's facts and the sun's place in, verdicts out. Energy in Wh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

from astral import Observer
from astral.sun import elevation

from gateway.checks.alarms import AlarmCode, Finding, Verdict
from gateway.epochs.intervals import Interval
from gateway.intake.steps import is_impossible
from gateway.roster import Meter, Site

REGISTER_STEP_WH: Final = 10
"""The coarsest register resolution: 0.01 kWh."""
NIGHT_ELEVATION: Final = -6.0
"""Degrees: the end of civil twilight. Measured plants, half-hours interpolated, have shown energy down to -3.7."""
STANDSTILL_WH: Final = 2 * REGISTER_STEP_WH
"""Registers must have moved visibly when the stated power, in its smallest amount, comes to this much."""
MIN_POWERS: Final = 3
"""How many stated powers a standstill needs."""
REPEATS: Final = 4
"""So many equal intervals on end are no weather. On labelled data: tests/gateway/checks/test_physics.py."""
REPEATED_PERCENT_OF_RATED: Final = 1
"""Below this share of its rating a plant at dawn or under snow may well repeat a small number."""
FEEDER_TOLERANCE_PERMILLE: Final = 30
"""Losses and the class of the meters (1 or 2 %) between a feeder meter and those behind it, of all that flowed."""
_SECONDS_PER_HOUR: Final = 3600


def check_rated_power(meter: Meter, interval: Interval, epoch_s: int) -> Verdict:
    """Judge whether *interval* has more energy than the meter's rating gives."""
    most_wh = max(interval.import_wh, interval.export_wh)
    is_odd = is_impossible(most_wh, interval.epochs * epoch_s, meter.rated_power_w)
    return _verdict(interval, AlarmCode.RATED_POWER, is_odd, rated_power_w=meter.rated_power_w)


def check_night(meter: Meter, interval: Interval, epoch_s: int) -> Verdict | None:
    """Judge export of a PV meter with a known site; None unless it is night from the start of *interval* to its end."""
    if meter.pv_site is None:
        return None
    start, end = interval.epoch * epoch_s, (interval.epoch + interval.epochs) * epoch_s
    if interval.epochs * epoch_s > 4 * _SECONDS_PER_HOUR:
        return None  # too long to tell from its ends that no day lies between
    highest = max(sun_elevation(meter.pv_site, moment) for moment in (start, (start + end) // 2, end))
    if highest >= NIGHT_ELEVATION:
        return None
    is_odd = interval.export_wh > REGISTER_STEP_WH
    return _verdict(interval, AlarmCode.NIGHT_GENERATION, is_odd, sun_elevation=f"{highest:.1f}")


def check_standstill(interval: Interval, powers_w: Sequence[int], epoch_s: int) -> Verdict | None:
    """Judge registers against the *powers_w* that the meter stated meanwhile; None where these cannot tell."""
    least_w = min((abs(power) for power in powers_w), default=0)
    expected_wh = least_w * interval.epochs * epoch_s // _SECONDS_PER_HOUR
    if len(powers_w) < MIN_POWERS or expected_wh < STANDSTILL_WH:
        return None
    is_odd = interval.import_wh == interval.export_wh == 0
    return _verdict(interval, AlarmCode.STANDSTILL, is_odd, powers=len(powers_w), least_power_w=least_w)


def check_repeats(meter: Meter, intervals: Sequence[Interval], epoch_s: int) -> Verdict | None:
    """Judge whether the newest of a PV meter's *intervals*, ascending and without a break, repeats those before it."""
    newest = intervals[-1]
    least_wh = meter.rated_power_w * epoch_s * REPEATED_PERCENT_OF_RATED // (100 * _SECONDS_PER_HOUR)
    if meter.pv_site is None or newest.is_gap:
        return None
    equal = sum(1 for _ in takewhile(lambda one: one.export_wh == newest.export_wh, reversed(intervals)))
    is_odd = equal >= REPEATS and newest.export_wh > max(least_wh, REGISTER_STEP_WH)
    return _verdict(newest, AlarmCode.REPEATED_VALUE, is_odd, repeats=equal)


def check_feeder(feeder: Interval, behind: Sequence[Interval]) -> Verdict:
    """Judge a feeder meter's interval against those of all meters behind it, of the same epoch."""
    through_wh = feeder.import_wh - feeder.export_wh
    sum_wh = sum(one.import_wh - one.export_wh for one in behind)
    flowed_wh = sum(one.import_wh + one.export_wh for one in (*behind, feeder))
    tolerance_wh = REGISTER_STEP_WH * (len(behind) + 1) + flowed_wh * FEEDER_TOLERANCE_PERMILLE // 1000
    is_odd = abs(through_wh - sum_wh) > tolerance_wh
    return _verdict(
        feeder, AlarmCode.FEEDER_BALANCE, is_odd, through_wh=through_wh, sum_wh=sum_wh, tolerance_wh=tolerance_wh,
        meters=len(behind),
    )  # fmt: skip


def sun_elevation(site: Site, moment: int) -> float:
    """Return how high the sun stands over *site* at *moment* (Unix seconds), in degrees."""
    return elevation(Observer(site.latitude, site.longitude), datetime.fromtimestamp(moment, UTC))


def unbroken(intervals: Iterable[Interval]) -> Iterator[Interval]:
    """Yield, of *intervals* in descending order, those that follow each other epoch by epoch."""
    before: Interval | None = None
    for interval in intervals:
        if interval.is_gap or (before is not None and interval.epoch + 1 != before.epoch):
            return
        yield interval
        before = interval


def _verdict(interval: Interval, code: AlarmCode, is_odd: bool, **evidence: int | str) -> Verdict:
    energy: dict[str, int | str] = {"import_wh": interval.import_wh, "export_wh": interval.export_wh}
    finding = Finding(interval.meter_id, interval.epoch, interval.epochs, code, energy | evidence) if is_odd else None
    return Verdict(interval.meter_id, interval.epoch, code, finding)
