"""The state of the gateway in one place, as API and dashboard show it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.access.roles import Access
from gateway.enrolment import Enrolment
from gateway.epochs.calendar import Calendar
from gateway.epochs.intervals import Boundary, Interval, derive_intervals
from gateway.epochs.spans import Sight, hold
from gateway.errors import BackupError
from gateway.intake.hints import Hint, HintKind, Hints
from gateway.intake.mqtt import BrokerLink
from gateway.intake.pipeline import Pipeline
from gateway.ops.backup import read_record
from gateway.ops.retention import Retention
from gateway.roster import Meter, Roster
from gateway.settlement.anchors import AnchorCourier, AnchorMaker
from gateway.settlement.follower import LedgerFollower
from gateway.settlement.reporter import Reporter
from gateway.store.adoption import AdoptionStore, Gap
from gateway.store.anchors import AnchorStore
from gateway.store.checks import CheckStore
from gateway.store.outbox import OutboxStore
from gateway.store.queries import Queries
from gateway.store.readings import ReadingStore
from gateway.store.restores import Restore

GAP_TOLERATED_S: Final = 60
"""How long a reading may wait for its predecessor, which the broker may deliver late, before somebody must look."""
MAX_GAPS_LISTED: Final = 5
MAX_HINTS_LISTED: Final = 5
_ILLNESSES: Final = {
    HintKind.LOST: "left the broker without a word; look at its power and network",
    HintKind.SAFE: "is in safe mode and does not measure",
}
_BROKER_AWAY: Final = (
    "the broker is not connected, readings wait in meters and broker; ask campusgrid doctor --config gateway.toml"
)


@dataclass(frozen=True, slots=True)
class MeterView:
    """A meter with its newest reading. Power in W, energy in Wh, age in s; None where nothing is known yet."""

    meter: Meter
    sequence: int | None
    receipted: int
    time: int | None
    age_s: int | None
    import_wh: int | None
    export_wh: int | None
    power_w: int | None
    power_time: int | None = None
    watermark: Boundary | None = None
    hints: tuple[Hint, ...] = ()

    @property
    def estimate(self) -> tuple[int, int] | None:
        """Import and export in Wh since the watermark, by the newest reading: to be shown, never to be reported."""
        if self.watermark is None or self.import_wh is None:
            return None
        return self.import_wh - self.watermark.import_wh, (self.export_wh or 0) - self.watermark.export_wh


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that is shown, gathered from the running parts."""

    enrolment: Enrolment
    calendar: Calendar
    store: ReadingStore
    queries: Queries
    outbox: OutboxStore
    adoptions: AdoptionStore
    checks: CheckStore
    hints: Hints
    link: BrokerLink
    pipeline: Pipeline
    follower: LedgerFollower
    reporter: Reporter
    retention: Retention
    anchors: AnchorStore
    maker: AnchorMaker
    courier: AnchorCourier
    backups: Path | None

    @property
    def roster(self) -> Roster:
        """The roster in force."""
        return self.enrolment.roster

    async def other_faults(self) -> list[str]:
        """Return what else somebody should look at, one line each; all work goes on meanwhile."""
        faults = [self.enrolment.fault] if self.enrolment.fault else []
        ill = [
            f"meter {view.meter.label} ({view.meter.meter_id.hex()}) {_ILLNESSES[hint.kind]} (unsigned: {hint.text})"
            for view in (await self.meters() if self.hints.are_ill else ())
            for hint in view.hints
            if hint.kind in _ILLNESSES
        ]
        more = [f"{len(ill) - MAX_HINTS_LISTED} more meters lost or in safe mode"] if ill[MAX_HINTS_LISTED:] else []
        return faults + ill[:MAX_HINTS_LISTED] + more

    def backup_made_at(self) -> int | None:
        """Return when the last backup was made that a trial restored (Unix seconds), or None where there is none."""
        try:
            record = None if self.backups is None else read_record(self.backups)
        except BackupError:
            return None
        return None if record is None else record.made_at

    def intake_faults(self) -> list[str]:
        """Return what keeps the gateway from taking readings in, one line each."""
        faults = [] if self.link.is_connected else [_BROKER_AWAY]
        return faults + [fault for fault in (self.pipeline.fault,) if fault]

    def ledger_faults(self) -> list[str]:
        """Return what keeps the gateway from settling, one line each; readings are taken in meanwhile."""
        faults = []
        if self.follower.is_silent:
            faults.append("no ledger node answers, boundary readings wait here; start a node, or mend ledger.urls")
        else:
            parts = (self.reporter.fault, self.courier.fault, self.maker.fault)
            faults += [fault for fault in parts if fault]
        if self.follower.roots_agree is False:
            faults.append("ledger nodes have different state roots at one height; call the authorities")
        statuses = [node.status for node in self.follower.nodes if node.status is not None]
        return faults + [f"ledger node {one.name} signs no more: {one.alarm}" for one in statuses if one.alarm]

    async def chain_faults(self) -> list[str]:
        """Return which meters get no receipts because something is missing in their chains, one line each."""
        gaps = await self.adoptions.find_gaps(int(self.calendar.now()) - GAP_TOLERATED_S)
        lines = [self._describe_gap(gap) for gap in gaps[:MAX_GAPS_LISTED]]
        return lines + ([f"{len(gaps) - len(lines)} more meters with gaps"] if len(gaps) > len(lines) else [])

    async def restore_faults(self) -> list[str]:
        """Return that this database came out of a backup, for as long as a meter gets no receipts because of that."""
        last = self.store.restores.last
        if last is None:
            return []
        enrolled = self.roster.meters.keys()
        held = len(enrolled) - len(await self.store.restores.release(enrolled))
        if not held:
            return []
        return [f"{describe_restore(last, held, len(enrolled))}; {steps_after_restore(last, self.calendar.epoch_s)}"]

    async def meters(self) -> list[MeterView]:
        """Return every enrolled meter, by label."""
        newest = {row["meter_id"]: row for row in await self.queries.newest_readings()}
        closed = await self.queries.watermarks()
        views = [self._view(meter, newest.get(one), closed.get(one)) for one, meter in self.roster.meters.items()]
        return sorted(views, key=lambda view: (view.meter.label.casefold(), view.meter.meter_id))

    async def intervals(self, meters: Sight, first_epoch: int, last_epoch: int) -> list[Interval]:
        """Return the intervals of *meters* that touch an epoch from *first_epoch* to *last_epoch*.

        One in which a meter changed hands shows what both owners used, and is nobody's.
        """
        found: list[Interval] = []
        start_of = self.calendar.start_of
        for meter_id, spans in meters.items():
            start = await self.queries.neighbour(meter_id, first_epoch)
            first = first_epoch if start is None else start
            derived = derive_intervals(await self.queries.boundaries([meter_id], first, last_epoch + 1))
            found += [one for one in derived if hold(spans, start_of(one.epoch), start_of(one.epoch + one.epochs))]
        return found

    def _describe_gap(self, gap: Gap) -> str:
        meter, name = self.roster.meters.get(gap.meter_id), gap.meter_id.hex()
        return (
            f"meter {meter.label if meter else 'not enrolled'} ({name}) gets no receipts beyond number {gap.head}: its"
            f" readings from {gap.first} on follow others that are not here. If this database lost them, restore it"
            f" from a backup, or else stop the gateway and give them up: campusgrid gateway adopt {name}"
            " --config gateway.toml"
        )

    def _view(self, meter: Meter, row: sqlite3.Row | None, watermark: Boundary | None) -> MeterView:
        receipted = self.pipeline.chain_of(meter.meter_id).head
        if row is None:
            hints = self.hints.of(meter.meter_id, 0, 0)
            return MeterView(meter, None, receipted, None, None, None, None, None, None, watermark, hints)
        hints = self.hints.of(meter.meter_id, row["received_at"], row["time"])
        age_s = max(0, int(self.calendar.now()) - row["time"])
        return MeterView(
            meter, row["sequence"], receipted, row["time"], age_s, row["import_wh"], row["export_wh"], row["power_w"],
            row["power_time"], watermark, hints,
        )  # fmt: skip


def show_to(access: Access, views: Iterable[MeterView], epoch_s: int) -> tuple[MeterView, ...]:
    """Return what *access* sees of *views*: of their meters, what was measured since these are theirs."""
    return tuple(
        _show_since(view, access.spans(view.meter)[-1].first_s, epoch_s) for view in views if access.sees(view.meter)
    )


def _show_since(view: MeterView, first_s: int, epoch_s: int) -> MeterView:
    if view.time is not None and view.time < first_s:
        return MeterView(view.meter, None, 0, None, None, None, None, None, hints=view.hints)
    is_own_power = view.power_time is not None and view.power_time >= first_s
    is_own_mark = view.watermark is not None and view.watermark.epoch * epoch_s >= first_s
    return replace(
        view, power_w=view.power_w if is_own_power else None, watermark=view.watermark if is_own_mark else None
    )


def describe_restore(last: Restore, held: int, enrolled: int) -> str:
    """Return what a restore of the database has left open."""
    return (
        f"this database was restored from a backup that was made {last.generation - last.made_at} s before, and"
        f" {held} of {enrolled} meters have sent no complete chain beyond that: they get no receipts, so that none"
        " takes back an earlier one"
    )


def steps_after_restore(last: Restore, epoch_s: int, config: str = "gateway.toml") -> str:
    """Return how to close it; *config* is where the caller knows the gateway's file to be."""
    return (
        "have what was lost sent again: campusgrid provision configure CAMPUS --resend"
        f" {last.made_at // epoch_s} {last.generation // epoch_s}; then stop the gateway and give up the rest:"
        f" campusgrid gateway adopt --all --config {config}"
    )
