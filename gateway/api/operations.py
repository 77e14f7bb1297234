"""Operations on the gateway's own state: health, metrics, status, faults."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access, Permission
from gateway.api import metrics, resources
from gateway.api.doors import require
from gateway.readings.faults import Faults
from gateway.readings.overview import Overview

_WATCH: Final = require(Permission.METRICS, is_open_here=True)


def add(application: FastAPI, overview: Overview, door: Doorkeeper, faults: Faults) -> None:
    """Add the operations to *application*."""
    _add_watched(application, overview, door, faults)

    @application.get("/api/status", tags=["operations"])
    async def status(access: Access = require(Permission.STATUS)) -> dict[str, Any]:
        """Counts of readings, the running epoch, meters, and how far the ledger is; a tenant sees the epoch alone."""
        if access.is_narrow:
            return resources.describe_epoch(overview, sum(access.sees(meter) for meter in overview.roster))
        return await resources.describe_status(overview)

    @application.get("/api/faults", tags=["operations"])
    async def list_faults(_access: Access = require(Permission.FAULTS)) -> dict[str, Any]:
        """What is wrong at this moment and what to do about it, the worst first."""
        return {"faults": [{"area": fault.area, "text": fault.text} for fault in await faults.newest()]}


def _add_watched(application: FastAPI, overview: Overview, door: Doorkeeper, faults: Faults) -> None:
    """Add what programs watch: from this machine without a key."""

    @application.get("/health", tags=["operations"])
    async def health(_access: Access | None = _WATCH) -> Response:
        """Whether the gateway takes readings in (else 503), and whether it does all its other work."""
        found = await faults.newest()
        is_ready = all(fault.area != "intake" for fault in found)
        status = ("degraded" if found else "ready") if is_ready else "unready"
        return JSONResponse({"status": status, "reasons": [fault.text for fault in found]}, 200 if is_ready else 503)

    @application.get("/metrics", tags=["operations"])
    async def measure(request: Request, _access: Access | None = _WATCH) -> Response:
        """Everything countable, for Prometheus."""
        state = request.app.state
        open_ = {"streams": state.streams.count, "connections": len(state.connections)}
        text = await metrics.render(overview, door, await faults.newest(), open_)
        return PlainTextResponse(text, media_type=metrics.CONTENT_TYPE)
