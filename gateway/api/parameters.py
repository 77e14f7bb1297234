"""Parameters that several operations of the API have, with their bounds, and what they mean for who asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Query, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.access.roles import Access
from gateway.api.cursors import MAX_CHARACTERS, Cursors
from gateway.epochs.calendar import Calendar
from gateway.epochs.spans import ALWAYS, END_OF_TIME, START_OF_TIME, Sight
from gateway.readings.overview import Overview
from gateway.store.walk import Place, Wanted

MAX_ROWS: Final = 1000
MAX_EPOCHS: Final = 1000
MAX_INTERVALS: Final = 50_000
"""Meters times epochs of one answer."""
MAX_NAME_SHOWN: Final = 40
MeterId = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$", description="One meter's id.")]
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="How many rows at most.")]
Before = Annotated[int | None, Query(ge=0, lt=2**62, description="`next` of the page before.")]
After = Annotated[str | None, Query(max_length=MAX_CHARACTERS, description="`next` of the page before.")]
Since = Annotated[int, Query(alias="from", ge=0, lt=2**62, description="Taken at this time or later, Unix seconds.")]
Until = Annotated[int, Query(alias="to", ge=0, le=2**62, description="Taken before this time, Unix seconds.")]
Epoch = Annotated[int | None, Query(ge=0, lt=2**32, description="The one epoch.")]
FirstEpoch = Annotated[int | None, Query(alias="from", ge=0, lt=2**32, description="The first epoch.")]
LastEpoch = Annotated[int | None, Query(alias="to", ge=0, lt=2**32, description="The last epoch.")]


async def refuse_unknown(request: Request) -> None:
    """Raise HTTPException for a parameter that the operation does not have: a mistyped filter would widen the answer.

    A dependency of every operation. What OpenAPI does not describe (pages, unknown addresses) answers for itself.
    Asynchronous, though it waits for nothing, so that it costs no thread.
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    known = [field.alias for field in route.dependant.query_params]
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        choice = f"choose of {', '.join(known)}" if known else "it has none"
        raise HTTPException(422, f"{unknown[:MAX_NAME_SHOWN]}: is no parameter of {route.path}; {choice}")


def next_before(rows: Sequence[sqlite3.Row], limit: int) -> int | None:
    """Return the `before` of the page that follows *rows*, or None where they are fewer than *limit*: the last ones."""
    return rows[-1]["id"] if len(rows) == limit else None


def choose_meters(overview: Overview, access: Access, meter: str | None) -> Sight | None:
    """Return what *access* sees of the meters asked for, None for all of all; raises HTTPException.

    Another's meter is answered for as one that does not exist.
    """
    if meter is None:
        return access.visible(overview.roster)
    known = overview.roster.meters.get(bytes.fromhex(meter))
    spans = known and access.spans(known)
    if known is None or not spans:
        raise HTTPException(404, f"meter {meter} is not in the roster; GET /api/meters lists those that are")
    return {known.meter_id: spans}


def choose_readings(
    overview: Overview, access: Access, meter: str | None, first_s: int = START_OF_TIME, end_s: int = END_OF_TIME
) -> Wanted:
    """Return which readings are asked for, of those that *access* sees; raises HTTPException."""
    if first_s > end_s:
        raise HTTPException(422, f"from: {first_s} is after to, {end_s}; exchange the two")
    return Wanted(choose_meters(overview, access, meter), first_s, end_s)


def open_cursor(cursors: Cursors, text: str | None, wanted: Wanted) -> Place | None:
    """Return the place that the parameter `after` names; raises HTTPException."""
    if text is None:
        return None
    place = cursors.open(text)
    if (place.meter_id is None) != (wanted.meters is None):
        raise HTTPException(422, "after: is a cursor of another list; take `next` of an answer to the same question")
    return place


def choose_epochs(calendar: Calendar, epoch: int | None, first: int | None, last: int | None) -> tuple[int, int]:
    """Return the first and the last epoch asked for, by default the last full one; raises HTTPException."""
    if epoch is not None:
        return epoch, epoch
    end = calendar.epoch_now() - 1 if last is None else last
    start = end if first is None else first
    if not start <= end < start + MAX_EPOCHS:
        raise HTTPException(422, f"from..to must ascend and span at most {MAX_EPOCHS} epochs")
    return start, end


def choose_intervals(
    overview: Overview, access: Access, meter: str | None, epochs: tuple[int, int]
) -> tuple[Sight, int, int]:
    """Return what may be seen of the meters whose intervals are asked for, and the first and last epoch.

    Raises HTTPException.
    """
    meters = choose_meters(overview, access, meter)
    chosen = dict.fromkeys(sorted(overview.roster.meters), ALWAYS) if meters is None else meters
    start, end = epochs
    if len(chosen) * (end - start + 1) > MAX_INTERVALS:
        raise HTTPException(422, f"more than {MAX_INTERVALS} intervals; ask for one meter, or for fewer epochs")
    return chosen, start, end
