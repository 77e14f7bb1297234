"""The API: read-only JSON about meters, readings, intervals and refusals; errors as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from gateway.api import alarms, metrics, resources
from gateway.epochs.intervals import Interval
from gateway.readings.overview import Overview

MAX_ROWS: Final = 1000
MAX_EPOCHS: Final = 1000
MAX_INTERVALS: Final = 50_000
"""Meters times epochs of one answer."""
MeterId = Annotated[str, Query(pattern="^[0-9a-f]{16}$")]
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS)]
Cursor = Annotated[int, Query(ge=0, lt=2**62)]
Epoch = Annotated[int, Query(ge=0, lt=2**32)]


def make_application(overview: Overview) -> FastAPI:
    """Return the API over *overview*."""
    application = FastAPI(title="campusgrid gateway", docs_url=None, redoc_url=None)
    application.add_exception_handler(HTTPException, _answer_refusal)
    application.add_exception_handler(RequestValidationError, _answer_invalid)
    _add_state(application, overview)
    _add_readings(application, overview)
    _add_refusals(application, overview)
    alarms.add_alarms(application, overview)
    _add_fallback(application)
    return application


def _add_state(application: FastAPI, overview: Overview) -> None:
    @application.get("/health")
    async def health() -> Response:
        """Whether the gateway takes readings in (else 503), and whether it does all its other work."""
        intake = overview.intake_faults()
        others = overview.ledger_faults() + await overview.chain_faults() + await overview.other_faults()
        status = "unready" if intake else "degraded" if others else "ready"
        return JSONResponse({"status": status, "reasons": intake + others}, 503 if intake else 200)

    @application.get("/metrics")
    async def measure() -> Response:
        """Everything countable, for Prometheus."""
        return PlainTextResponse(await metrics.render(overview), media_type=metrics.CONTENT_TYPE)

    @application.get("/api/status")
    async def status() -> dict[str, Any]:
        """Counts of readings, the running epoch, meters, and how far the ledger is."""
        return await resources.describe_status(overview)


def _add_readings(application: FastAPI, overview: Overview) -> None:
    @application.get("/api/meters")
    async def meters() -> dict[str, Any]:
        """Every enrolled meter with its newest reading."""
        return {"meters": [resources.describe_meter(view) for view in await overview.meters()]}

    @application.get("/api/readings")
    async def readings(meter: MeterId | None = None, after: Cursor = 0, limit: Limit = 100) -> dict[str, Any]:
        """Readings in the order in which they were stored; `next` is the `after` of the next page."""
        rows = await overview.queries.readings(_known(overview, meter), after, limit)
        return {
            "readings": [resources.describe_reading(row) for row in rows],
            "next": rows[-1]["id"] if len(rows) == limit else None,
        }

    @application.get("/api/intervals")
    async def intervals(
        meter: MeterId | None = None, epoch: Epoch | None = None,
        first: Annotated[Epoch | None, Query(alias="from")] = None,
        last: Annotated[Epoch | None, Query(alias="to")] = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Intervals that touch one `epoch`, or those from `from` to `to`; by default the last full epoch."""
        meter_id = _known(overview, meter)
        start, end = _epochs(overview, epoch, first, last)
        chosen = [meter_id] if meter_id is not None else sorted(overview.roster.meters)
        if len(chosen) * (end - start + 1) > MAX_INTERVALS:
            raise HTTPException(422, f"more than {MAX_INTERVALS} intervals; ask for one meter, or for fewer epochs")
        found: list[Interval] = await overview.intervals(chosen, start, end)
        flags = await overview.checks.flags(set(chosen), [interval.epoch for interval in found])
        return {"intervals": [resources.describe_interval(interval, flags) for interval in found]}


def _add_fallback(application: FastAPI) -> None:
    """Answer unknown addresses below /api as problems; the dashboard's own not-found page is for people."""

    @application.get("/api/{rest:path}", include_in_schema=False)
    async def unknown(rest: str) -> Response:
        raise HTTPException(404, f"there is no /api/{rest}; GET /openapi.json lists what there is")


def _add_refusals(application: FastAPI, overview: Overview) -> None:
    @application.get("/api/quarantine")
    async def quarantine(before: Cursor | None = None, limit: Limit = 100) -> dict[str, Any]:
        """Messages that nobody is proven to have signed, the newest first; `next` is the `before` of the next page."""
        rows = await overview.queries.quarantine(before, limit)
        return {
            "messages": [resources.describe_quarantined(row) for row in rows],
            "next": rows[-1]["id"] if len(rows) == limit else None,
            "evicted": overview.store.counts["evicted"],
        }

    @application.get("/api/evidence")
    async def evidence(before: Cursor | None = None, limit: Limit = 100) -> dict[str, Any]:
        """Readings with a good signature that contradict a stored one, the newest first."""
        rows = await overview.queries.evidence(before, limit)
        return {
            "evidence": [resources.describe_evidence(row) for row in rows],
            "next": rows[-1]["id"] if len(rows) == limit else None,
        }


def _known(overview: Overview, meter: str | None) -> bytes | None:
    if meter is None:
        return None
    meter_id = bytes.fromhex(meter)
    if meter_id not in overview.roster.meters:
        raise HTTPException(404, f"meter {meter} is not in the roster; GET /api/meters lists those that are")
    return meter_id


def _epochs(overview: Overview, epoch: int | None, first: int | None, last: int | None) -> tuple[int, int]:
    newest = overview.calendar.epoch_now() - 1
    if epoch is not None:
        return epoch, epoch
    end = newest if last is None else last
    start = end if first is None else first
    if not start <= end < start + MAX_EPOCHS:
        raise HTTPException(422, f"from..to must ascend and span at most {MAX_EPOCHS} epochs")
    return start, end


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, str(error.detail))


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _problem(422, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


def _problem(status: int, detail: str) -> Response:
    titles = {404: "Not found", 405: "Method not allowed", 422: "Invalid request"}
    content = {"type": "about:blank", "title": titles.get(status, "Refused"), "status": status, "detail": detail}
    return JSONResponse(content, status, media_type="application/problem+json")
