"""Operations on meters, readings, intervals and refusals."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from gateway.access.roles import Access, Permission
from gateway.api import resources
from gateway.api.cursors import Cursors
from gateway.api.doors import require
from gateway.api.parameters import (
    After,
    Before,
    Epoch,
    FirstEpoch,
    LastEpoch,
    Limit,
    MeterId,
    Since,
    Until,
    choose_epochs,
    choose_intervals,
    choose_readings,
    next_before,
    open_cursor,
)
from gateway.epochs.spans import END_OF_TIME
from gateway.readings.fresh import Fresh
from gateway.readings.overview import Overview, show_to

MAX_AGE_S: Final = 0.5


def add(application: FastAPI, overview: Overview, cursors: Cursors) -> None:
    """Add the operations to *application*."""
    _add_measured(application, overview, cursors)
    _add_refused(application, overview)


def _add_measured(application: FastAPI, overview: Overview, cursors: Cursors) -> None:
    newest = Fresh(overview.meters, MAX_AGE_S)  # of thousands of meters: too costly for each who asks

    @application.get("/api/meters", tags=["readings"])
    async def meters(access: Access = require(Permission.METERS)) -> dict[str, Any]:
        """Every enrolled meter, or those of the tenant, with its newest reading, as of half a second ago at most."""
        views = show_to(access, await newest.get(), overview.calendar.epoch_s)
        return {"meters": [resources.describe_meter(view) for view in views]}

    @application.get("/api/readings", tags=["readings"])
    async def readings(
        meter: MeterId = None, after: After = None, limit: Limit = 100, since: Since = 0, until: Until = END_OF_TIME,
        access: Access = require(Permission.READINGS),
    ) -> dict[str, Any]:  # fmt: skip
        """Readings in the order in which they were stored; of one meter, or of a tenant's, by sequence number.

        A page may be short, or empty, before the end: go on while `next` is not null.
        """
        wanted = choose_readings(overview, access, meter, since, until)
        rows, further = await overview.queries.walk.page(wanted, open_cursor(cursors, after, wanted), limit)
        return {
            "readings": [resources.describe_reading(row) for row in rows],
            "next": None if further is None else cursors.seal(further),
        }

    @application.get("/api/intervals", tags=["readings"])
    async def intervals(
        meter: MeterId = None, epoch: Epoch = None, first: FirstEpoch = None, last: LastEpoch = None,
        access: Access = require(Permission.INTERVALS),
    ) -> dict[str, Any]:  # fmt: skip
        """Intervals that touch one `epoch`, or those from `from` to `to`; by default the last full epoch."""
        epochs = choose_epochs(overview.calendar, epoch, first, last)
        found = await overview.intervals(*choose_intervals(overview, access, meter, epochs))
        flags = await overview.checks.flags({one.meter_id for one in found}, [one.epoch for one in found])
        return {"intervals": [resources.describe_interval(interval, flags) for interval in found]}


def _add_refused(application: FastAPI, overview: Overview) -> None:
    @application.get("/api/quarantine", tags=["refusals"])
    async def quarantine(
        before: Before = None, limit: Limit = 100, _access: Access = require(Permission.QUARANTINE)
    ) -> dict[str, Any]:
        """Messages that nobody is proven to have signed, the newest first; `next` is the `before` of the next page."""
        rows = await overview.queries.quarantine(before, limit)
        return {
            "messages": [resources.describe_quarantined(row) for row in rows],
            "next": next_before(rows, limit),
            "evicted": overview.store.counts["evicted"],
        }

    @application.get("/api/evidence", tags=["refusals"])
    async def evidence(
        before: Before = None, limit: Limit = 100, _access: Access = require(Permission.EVIDENCE)
    ) -> dict[str, Any]:
        """Readings with a good signature that contradict a stored one, the newest first."""
        rows = await overview.queries.evidence(before, limit)
        return {
            "evidence": [resources.describe_evidence(row) for row in rows],
            "next": next_before(rows, limit),
        }
