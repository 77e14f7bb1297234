"""What the page shows, gathered at most once a second however many browsers look."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from gateway.access.roles import Access
from gateway.checks import alarms
from gateway.epochs.intervals import Interval
from gateway.epochs.spans import Sight
from gateway.intake.refusals import EXPLANATIONS, Explanation, RefusalCode
from gateway.readings.faults import Faults
from gateway.readings.fresh import Fresh
from gateway.readings.overview import MeterView, Overview, show_to
from gateway.settlement.follower import NodeView
from ledger.api.resources import Epoch

MAX_AGE_S: Final = 1.0
HEARD_WITHIN_EPOCHS: Final = 3
INTERVAL_EPOCHS: Final = 8
MAX_ALARMS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Refused:
    """How often one reason was given, what it means and what to do; a note refused nothing."""

    name: str
    count: int
    explanation: Explanation
    is_note: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that stands: whose, since how many intervals, what it means."""

    meter: str
    code: str
    state: str
    findings: int
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The gateway's state at one moment."""

    epoch: int
    epoch_s: int
    remaining_s: int
    stored: int
    duplicates: int
    refused: tuple[Refused, ...]
    heard: int
    meters: tuple[MeterView, ...]
    outbox: int
    anchors: int
    anchor_age_s: int | None
    """How many anchors the ledger has not answered for, and how old the oldest of them is."""
    faults: tuple[str, ...]
    nodes: tuple[NodeView, ...]
    roots_agree: bool | None
    height: int | None
    epochs: tuple[Epoch, ...]
    alarms: tuple[Alarm, ...]
    intervals: tuple[Interval, ...] = ()
    """Of a tenant's meters, the newest first."""


class Snapshots:
    """The newest snapshot of an overview, taken anew when it is older than `MAX_AGE_S`."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        faults = Faults(overview)
        self._newest = Fresh(lambda: _take(overview, faults), MAX_AGE_S)

    async def seen_by(self, access: Access) -> Snapshot:
        """Return what *access* may see of the newest snapshot."""
        snapshot = await self.newest()
        if not access.is_narrow:
            return snapshot
        meters = show_to(access, snapshot.meters, snapshot.epoch_s)
        return replace(
            snapshot, stored=0, duplicates=0, refused=(), heard=_count_heard(meters, snapshot.epoch_s), meters=meters,
            outbox=0, anchors=0, anchor_age_s=None, faults=(), nodes=(), roots_agree=None, height=None, alarms=(),
            intervals=await self._intervals({view.meter.meter_id: access.spans(view.meter) for view in meters}),
        )  # fmt: skip

    async def _intervals(self, meters: Sight) -> tuple[Interval, ...]:
        newest = self._overview.calendar.epoch_now() - 1
        found = await self._overview.intervals(meters, newest - INTERVAL_EPOCHS + 1, newest)
        return tuple(sorted(found, key=lambda one: (-one.epoch, one.meter_id)))

    async def newest(self) -> Snapshot:
        """Return a snapshot no older than `MAX_AGE_S`."""
        return await self._newest.get()


async def _take(overview: Overview, known: Faults) -> Snapshot:
    meters = tuple(await overview.meters())
    faults = tuple(fault.text for fault in await known.newest())
    counts, now = overview.store.counts, int(overview.calendar.now())
    anchors, oldest = await overview.anchors.find_open()
    refused = tuple(
        Refused(code.name, counts[code.counter], EXPLANATIONS[code], code.is_note)
        for code in RefusalCode
        if counts[code.counter] and code is not RefusalCode.REPLAY  # its tile says how many
    )
    return Snapshot(
        overview.calendar.epoch_now(), overview.calendar.epoch_s, math.ceil(overview.calendar.remaining_s()),
        counts["stored"], counts["duplicates"], refused,
        _count_heard(meters, overview.calendar.epoch_s), meters,
        await overview.outbox.count_open(), anchors, None if oldest is None else max(0, now - oldest),
        faults, overview.follower.nodes, overview.follower.roots_agree, overview.follower.height,
        overview.follower.epochs, await _take_alarms(overview),
    )  # fmt: skip


def _count_heard(meters: tuple[MeterView, ...], epoch_s: int) -> int:
    return sum(view.age_s is not None and view.age_s <= HEARD_WITHIN_EPOCHS * epoch_s for view in meters)


async def _take_alarms(overview: Overview) -> tuple[Alarm, ...]:
    found = []
    for row in await overview.checks.alarms(alarms.STANDING, None, MAX_ALARMS_SHOWN):
        meter = overview.roster.meters.get(row["meter_id"])
        code = alarms.AlarmCode(row["code"])
        name = meter.label if meter and meter.label else row["meter_id"].hex()
        found.append(Alarm(name, code, row["state"], row["findings"], alarms.EXPLANATIONS[code]))
    return tuple(found)
