"""The alarms' part of the API: which stand, on what evidence, and that somebody has seen one."""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from starlette.exceptions import HTTPException

from gateway.access.roles import Access, Permission
from gateway.api.doors import actor_of, require
from gateway.api.parameters import Before, Limit, next_before
from gateway.checks.alarms import ALARM_STATES, EXPLANATIONS, AlarmCode
from gateway.readings.overview import Overview

State = Annotated[Literal["open", "acknowledged", "closed"] | None, Query(description="Only those in this state.")]


def add(application: FastAPI, overview: Overview) -> None:
    """Add the operations to *application*."""

    @application.get("/api/alarms", tags=["alarms"])
    async def alarms(
        state: State = None, before: Before = None, limit: Limit = 100, _access: Access = require(Permission.ALARMS)
    ) -> dict[str, Any]:
        """Alarms, the newest first; `next` is the `before` of the next page."""
        rows = await overview.checks.alarms([state] if state else ALARM_STATES, before, limit)
        return {
            "alarms": [describe_alarm(row) for row in rows],
            "next": next_before(rows, limit),
        }

    @application.post("/api/alarms/{number}/acknowledge", tags=["alarms"])
    async def acknowledge(
        request: Request, number: Annotated[int, Path(ge=0, lt=2**62)],
        access: Access = require(Permission.ACKNOWLEDGE, to_write=True),
    ) -> dict[str, Any]:  # fmt: skip
        """Say that somebody looks after an open alarm; where an interval raised it, a good one closes it by itself."""
        if not await overview.checks.acknowledge(number, int(overview.calendar.now()), actor_of(request, access)):
            raise HTTPException(404, f"no alarm {number} stands; GET /api/alarms?state=open lists those that do")
        return {"id": number, "state": "acknowledged"}

    @application.post("/api/alarms/{number}/close", tags=["alarms"])
    async def close(
        request: Request, number: Annotated[int, Path(ge=0, lt=2**62)],
        access: Access = require(Permission.ACKNOWLEDGE, to_write=True),
    ) -> dict[str, Any]:  # fmt: skip
        """Close an alarm that a meter's own signatures raised: no good interval undoes what was signed once."""
        if not await overview.checks.close(number, int(overview.calendar.now()), actor_of(request, access)):
            raise HTTPException(404, f"no alarm {number} stands that is closed by hand; others close by themselves")
        return {"id": number, "state": "closed"}


def describe_alarm(row: sqlite3.Row) -> dict[str, Any]:
    """Return an alarm with its newest evidence."""
    explanation = EXPLANATIONS[AlarmCode(row["code"])]
    return {
        "id": row["id"], "meter_id": row["meter_id"].hex(), "code": row["code"], "state": row["state"],
        "text": explanation.text, "next_step": explanation.next_step, "findings": row["findings"],
        "epoch": row["epoch"], "evidence": json.loads(row["evidence"]), "raised_at": row["raised_at"],
        "changed_at": row["changed_at"],
    }  # fmt: skip
