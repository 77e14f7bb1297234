"""Readings and intervals as CSV (RFC 4180), streamed page by page: never more in memory than one page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse

from gateway.access.roles import Access, Permission
from gateway.api.cursors import Cursors
from gateway.api.doors import require
from gateway.api.parameters import (
    MAX_ROWS,
    After,
    FirstEpoch,
    LastEpoch,
    MeterId,
    Since,
    Until,
    choose_epochs,
    choose_intervals,
    choose_readings,
    open_cursor,
)
from gateway.epochs.spans import END_OF_TIME, Sight
from gateway.intake.refusals import RefusalCode
from gateway.readings.overview import Overview
from gateway.store.walk import Place, Wanted, place_of
from ledger.reading import Reason

MAX_EXPORT_ROWS: Final = 100_000
MEDIA_TYPE: Final = "text/csv; charset=utf-8"
READING_HEAD: Final = (
    "meter_id", "sequence", "time", "reason", "epoch", "import_wh", "export_wh", "power_w", "status", "refusal",
    "notes", "hash", "cursor",
)  # fmt: skip
INTERVAL_HEAD: Final = ("meter_id", "epoch", "epochs", "start", "end", "import_wh", "export_wh", "gap", "flags")
ExportLimit = Annotated[int, Query(ge=1, le=MAX_EXPORT_ROWS, description="How many rows at most.")]


def add(application: FastAPI, overview: Overview, cursors: Cursors) -> None:
    """Add the operations to *application*."""

    @application.get("/api/readings.csv", tags=["export"], response_class=Response)
    async def export_readings(
        meter: MeterId = None, after: After = None, limit: ExportLimit = MAX_EXPORT_ROWS, since: Since = 0,
        until: Until = END_OF_TIME, access: Access = require(Permission.READINGS),
    ) -> Response:  # fmt: skip
        """Readings as CSV. A file of `limit` rows may go on: its last row's `cursor` is the `after` of the next."""
        wanted = choose_readings(overview, access, meter, since, until)
        start = open_cursor(cursors, after, wanted)
        return _answer(_reading_lines(overview, cursors, wanted, start, limit), "readings.csv")

    @application.get("/api/intervals.csv", tags=["export"], response_class=Response)
    async def export_intervals(
        meter: MeterId = None, first: FirstEpoch = None, last: LastEpoch = None,
        access: Access = require(Permission.INTERVALS),
    ) -> Response:  # fmt: skip
        """Intervals as CSV, from epoch `from` to `to`; by default those of the last full epoch."""
        epochs = choose_epochs(overview.calendar, None, first, last)
        chosen, start, end = choose_intervals(overview, access, meter, epochs)
        return _answer(_interval_lines(overview, chosen, start, end), "intervals.csv")


async def _reading_lines(
    overview: Overview, cursors: Cursors, wanted: Wanted, after: Place | None, limit: int
) -> AsyncIterator[bytes]:
    yield _lines([READING_HEAD])
    while limit:
        rows, after = await overview.queries.walk.page(wanted, after, min(limit, MAX_ROWS))
        limit -= len(rows)
        yield _lines(
            (
                row["meter_id"].hex(), row["sequence"], row["time"], Reason(row["reason"]).name.lower(), row["epoch"],
                row["import_wh"], row["export_wh"], row["power_w"], row["status"],
                RefusalCode(row["refusal"]).name if row["refusal"] else "", _name_notes(row["notes"]),
                row["hash"].hex(), cursors.seal(place_of(row, wanted)),
            )
            for row in rows
        )  # fmt: skip
        if after is None:
            return


async def _interval_lines(overview: Overview, meters: Sight, start: int, end: int) -> AsyncIterator[bytes]:
    yield _lines([INTERVAL_HEAD])
    calendar = overview.calendar
    for meter_id, spans in meters.items():
        found = await overview.intervals({meter_id: spans}, start, end)
        flags = await overview.checks.flags({meter_id}, [one.epoch for one in found])
        yield _lines(
            (
                meter_id.hex(), one.epoch, one.epochs, calendar.start_of(one.epoch),
                calendar.start_of(one.epoch + one.epochs), one.import_wh, one.export_wh, "yes" if one.is_gap else "no",
                " ".join(flags.get((meter_id, one.epoch, one.epochs), [])),
            )
            for one in found
        )  # fmt: skip


def _name_notes(codes: str | None) -> str:
    return " ".join(RefusalCode(int(code)).name for code in codes.split(",")) if codes else ""


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _answer(lines: AsyncIterator[bytes], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type=MEDIA_TYPE, headers=headers)
