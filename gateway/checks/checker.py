"""Checking each interval as soon as its boundary readings are stored, and before the reporter reports them.

What meters signed against themselves raises its alarm here too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import structlog

from gateway.checks.alarms import OF_EVIDENCE, Sighting, Verdict
from gateway.checks.physics import (
    REPEATS,
    check_feeder,
    check_night,
    check_rated_power,
    check_repeats,
    check_standstill,
    unbroken,
)
from gateway.enrolment import Enrolment
from gateway.epochs.calendar import Calendar
from gateway.epochs.intervals import Interval, derive_intervals
from gateway.intake.refusals import RefusalCode
from gateway.roster import Meter, Roster
from gateway.store.checks import CheckStore
from gateway.store.mending import explain

MAX_READINGS: Final = 2000
"""How many newly stored readings are looked at in one turn."""
POLL_S: Final = 1.0
log = structlog.get_logger()


class Checker:
    """Follows the stored readings. What it finds it writes down; it changes no reading and stops none."""

    def __init__(self, enrolment: Enrolment, calendar: Calendar, store: CheckStore) -> None:
        self._enrolment = enrolment
        self._calendar = calendar
        self._store = store
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Check until cancelled; while the disk is full the same intervals are checked again."""
        while True:
            try:
                await self.catch_up()
            except sqlite3.OperationalError as error:
                log.warning("findings not stored", cause=explain(error))
            await asyncio.sleep(POLL_S)

    async def catch_up(self) -> None:
        """Check everything that is stored now."""
        async with self._turn:
            while await self._check_next() or await self._sight_next():
                pass

    async def _check_next(self) -> bool:
        last, boundaries, refused = await self._store.unchecked(MAX_READINGS)
        if not last:
            return False
        roster, verdicts = self._enrolment.roster, []
        whole: set[tuple[bytes, int]] = set()
        for meter_id, epoch in boundaries:
            meter = roster.meters.get(meter_id)
            if meter is not None:
                intervals = await self._intervals_around(meter_id, epoch)
                verdicts += await self._check_meter(meter, intervals, epoch)
                whole |= {(meter_id, one.epoch) for one in intervals if not one.is_gap}
        verdicts += await self._check_feeders(roster, whole)
        sightings = [self._sight(row, {"reading": row["id"]}) for row in refused]
        await self._store.record(verdicts, last, int(self._calendar.now()), sightings)
        return True

    async def _sight_next(self) -> bool:
        """Raise the alarms of evidence that is new; tell whether there was any."""
        rows = await self._store.unseen_evidence(MAX_READINGS)
        if rows:
            sightings = [
                self._sight(row, {"evidence": row["id"], "stands": row["standing"] and row["standing"].hex()})
                for row in rows
            ]
            await self._store.sight(sightings, rows[-1]["id"], int(self._calendar.now()))
        return bool(rows)

    def _sight(self, row: sqlite3.Row, place: dict[str, int | str | None]) -> Sighting:
        evidence = place | {"sequence": row["sequence"], "hash": row["hash"].hex()}
        epoch = row["received_at"] // self._calendar.epoch_s
        return Sighting(row["meter_id"], epoch, OF_EVIDENCE[RefusalCode(row["refusal"])], evidence)

    async def _intervals_around(self, meter_id: bytes, epoch: int) -> list[Interval]:
        return list(derive_intervals(await self._store.boundaries_around(meter_id, epoch, REPEATS)))

    async def _check_meter(self, meter: Meter, intervals: list[Interval], epoch: int) -> list[Verdict]:
        """Return the verdicts on those *intervals* that the boundary of *epoch* ends or starts."""
        epoch_s, found = self._calendar.epoch_s, []
        for place, interval in enumerate(intervals):
            if epoch not in (interval.epoch, interval.epoch + interval.epochs):
                continue
            powers = await self._store.powers_between(meter.meter_id, interval.epoch, interval.epoch + interval.epochs)
            run = list(unbroken(reversed(intervals[: place + 1])))[::-1]
            found += [
                check_rated_power(meter, interval, epoch_s),
                check_night(meter, interval, epoch_s),
                check_standstill(interval, powers, epoch_s),
                check_repeats(meter, run, epoch_s) if run else None,
            ]
        return [verdict for verdict in found if verdict is not None]

    async def _check_feeders(self, roster: Roster, changed: Iterable[tuple[bytes, int]]) -> list[Verdict]:
        """Return the verdicts on feeders of which an interval, their own or one behind them, is new."""
        touched = {(roster.meters[meter_id].feeder or meter_id, epoch) for meter_id, epoch in changed}
        behind: dict[bytes, list[bytes]] = {}
        for meter in roster:
            if meter.feeder is not None:
                behind.setdefault(meter.feeder, []).append(meter.meter_id)
        verdicts = []
        for feeder, epoch in sorted(touched):
            if feeder in behind:
                intervals = [await self._interval_of(one, epoch) for one in (feeder, *behind[feeder])]
                complete = [one for one in intervals if one is not None]
                if len(complete) == len(intervals):
                    verdicts.append(check_feeder(complete[0], complete[1:]))
        return verdicts

    async def _interval_of(self, meter_id: bytes, epoch: int) -> Interval | None:
        """Return the meter's interval of just *epoch*, or None where its boundaries are not both here."""
        boundaries = await self._store.boundaries_around(meter_id, epoch, 0)
        for first, last in pairwise(boundaries):
            if (first.epoch, last.epoch) == (epoch, epoch + 1):
                return next(derive_intervals((first, last)))
        return None
