"""The live stream: server-sent events of readings, intervals, alarms and faults as they come.

A client has no queue here: the database is the queue, and each client walks through it at its own pace, at most one
page in memory. Who comes back with the id of the last event gets all that was stored since.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access, Permission
from gateway.api.alarms import describe_alarm
from gateway.api.cursors import MAX_CHARACTERS, Cursors
from gateway.api.doors import require
from gateway.api.gate import identify
from gateway.api.parameters import After
from gateway.api.resources import describe_interval, describe_reading
from gateway.checks.alarms import STANDING
from gateway.epochs.intervals import Interval
from gateway.epochs.spans import ALWAYS, Sight
from gateway.readings.faults import Fault, Faults
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings
from gateway.store.walk import Place

MAX_STREAMS: Final = 50
MAX_STREAMS_OF_ONE: Final = 5
PAUSE_S: Final = 0.2
"""Between two looks at the store, so that a burst of commits costs a client's walk little."""
TICK_S: Final = 5.0
"""How often a sign of life is sent, alarms and faults are looked at, and whether the caller may still be here."""
STALL_S: Final = 30.0
"""A client that takes nothing for this long is left."""
MEDIA_TYPE: Final = "text/event-stream"
MAX_ALARMS: Final = 1000
"""How many of the newest alarms a stream follows."""
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID", max_length=MAX_CHARACTERS)]

Told = dict[int, tuple[str, int]]
"""State and number of findings of alarms, by their id."""


class Streams:
    """All streams of one gateway: how many there are, and that they end with it."""

    def __init__(
        self, overview: Overview, cursors: Cursors, faults: Faults, door: Doorkeeper, settings: ApiSettings
    ) -> None:
        self._overview = overview
        self._cursors = cursors
        self._faults = faults
        self._door = door
        self._settings = settings
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def close(self) -> None:
        """End every stream."""
        self._closing.set()

    def open(self, request: Request, access: Access, after: str | None) -> Response:
        """Return a stream for *access*, from the cursor *after* or from now on; raises HTTPException."""
        start = None if after is None else self._cursors.open(after)
        if start is not None and start.meter_id is not None:
            raise HTTPException(422, "after: is a cursor of a list; take the id of an event, or leave it out")
        if self._open[access.name] >= MAX_STREAMS_OF_ONE:
            raise HTTPException(429, f"{access.name} has {MAX_STREAMS_OF_ONE} streams open; close one of them")
        if self._open.total() >= MAX_STREAMS:
            raise HTTPException(503, "too many streams are open; try again later", {"Retry-After": "60"})
        return _EventStream(self._events(request, access, start), self._closing, self._open, access.name)

    async def _events(self, request: Request, access: Access, start: Place | None) -> AsyncIterator[bytes]:
        walk, store = self._overview.queries.walk, self._overview.store
        row = await walk.newest() if start is None else start.row
        faults: tuple[Fault, ...] = ()
        told: Told = {}
        yield b"retry: 3000\n\n"
        ticked_at = float("-inf")
        while True:
            committed = store.committed
            if time.monotonic() - ticked_at > TICK_S:
                if await identify(request.headers, self._door, self._settings) != access:
                    return
                ticked_at = time.monotonic()
                if access.may(Permission.FAULTS):
                    changes, faults = await self._fault_changes(faults)
                    yield changes
                if access.may(Permission.ALARMS):
                    changes, told = await self._alarm_changes(told)
                    yield changes
                yield f"id: {self._cursors.seal(Place(row))}\n\n".encode()
            visible = access.visible(self._overview.roster)
            rows, further = await walk.new(visible, row)
            if rows:
                yield await self._describe(access, visible, rows)
            is_behind, row = further != row, further
            await _wait(committed, PAUSE_S if is_behind else TICK_S, is_behind=is_behind)

    async def _describe(self, access: Access, visible: Sight | None, rows: Sequence[sqlite3.Row]) -> bytes:
        """Return the events of stored readings; a reading's own follows those of its intervals, and has the cursor."""
        events = b""
        told: set[Interval] = set()
        for row in rows:
            if access.may(Permission.INTERVALS) and row["epoch"] is not None and not row["refusal"]:
                meter = row["meter_id"]
                seen = {meter: ALWAYS if visible is None else visible[meter]}
                touched = await self._overview.intervals(seen, row["epoch"] - 1, row["epoch"])
                flags = await self._overview.checks.flags({meter}, [one.epoch for one in touched])
                events += b"".join(
                    _event("interval", describe_interval(one, flags)) for one in touched if one not in told
                )
                told.update(touched)
            events += _event("reading", describe_reading(row), self._cursors.seal(Place(row["id"])))
        return events

    async def _fault_changes(self, known: tuple[Fault, ...]) -> tuple[bytes, tuple[Fault, ...]]:
        newest = await self._faults.newest()
        changes = [(True, fault) for fault in newest if fault not in known]
        changes += [(False, fault) for fault in known if fault not in newest]
        return b"".join(
            _event("fault", {"active": is_active, "area": fault.area, "text": fault.text})
            for is_active, fault in changes
        ), newest

    async def _alarm_changes(self, told: Told) -> tuple[bytes, Told]:
        """Return events for what changed since the alarms were *told*, and the alarms that stand now."""
        checks = self._overview.checks
        standing = await checks.alarms(STANDING, None, MAX_ALARMS)
        now = {row["id"]: (row["state"], row["findings"]) for row in standing}
        changed = [row for row in standing if told.get(row["id"]) != now[row["id"]]]
        if told.keys() - now.keys():
            changed += [row for row in await checks.alarms(["closed"], None, MAX_ALARMS) if row["id"] in told]
        return b"".join(_event("alarm", describe_alarm(row)) for row in changed), now


def add(application: FastAPI, streams: Streams) -> None:
    """Add the operation to *application*."""

    @application.get(
        "/api/stream", tags=["stream"], response_class=Response,
        responses={200: {"content": {MEDIA_TYPE: {}}, "description": "Events until the client leaves."}},
    )  # fmt: skip
    async def stream(
        request: Request, after: After = None, last: LastEvent = None, access: Access = require(Permission.READINGS)
    ) -> Response:
        """Server-sent events `reading`, `interval`, `alarm` and `fault` (as /api/readings, /api/intervals, …).

        An event's id is a cursor: with it as Last-Event-ID, or as `after`, a stream goes on where another one ended.
        An interval may come a second time.
        """
        return streams.open(request, access, last or after)


class _EventStream(Response):
    """Sends events until they end, the client leaves, takes nothing any more, or the gateway ends."""

    def __init__(self, events: AsyncIterator[bytes], closing: asyncio.Event, count: Counter[str], name: str) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._closing = closing
        self._count = count
        self._name = name

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        works = [asyncio.create_task(work) for work in (self._send(send), _disconnected(receive), self._closing.wait())]
        self._count[self._name] += 1
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._count[self._name] -= 1
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
        if not works[1].done() or works[1].cancelled():
            await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for events in self._events:
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": events, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _wait(committed: asyncio.Event, limit_s: float, *, is_behind: bool) -> None:
    """Wait for the next commit, up to *limit_s*; who is behind goes on after that time in any case."""
    if is_behind:
        await asyncio.sleep(limit_s)
        return
    try:
        async with asyncio.timeout(limit_s):
            await committed.wait()
    except TimeoutError:
        return


def _event(name: str, content: dict[str, Any], cursor: str | None = None) -> bytes:
    head = f"event: {name}\n" + (f"id: {cursor}\n" if cursor else "")
    return f"{head}data: {json.dumps(content, separators=(',', ':'))}\n\n".encode()
