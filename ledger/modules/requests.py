"""Requests to the oracle: their rows, and how each ends: answered, or timed out after TIMEOUT_BLOCKS, exactly once.

The oracle makes and answers them; the market says here which meter has reported, for that answers a request, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from ledger.modules.meters import epoch_key
from ledger.modules.module import Context
from ledger.state import Overlay, Reader, Table

TIMEOUT_BLOCKS: Final = 100
RETAINED_BLOCKS: Final = 1_000
"""For how long a request can be looked at after it ended."""
MAX_FORGOTTEN_PER_BLOCK: Final = 64
ID_BYTES: Final = 8
_HEIGHT_BYTES: Final = 8
_METER_BYTES: Final = 8
_EPOCH_BYTES: Final = 8


class RequestStatus(IntEnum):
    """How far a request has come."""

    OPEN = 0
    FULFILLED = 1
    TIMED_OUT = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A question to the oracle: for a meter's interval of `epoch`, or (`meter` empty) for the value of a `topic`.

    `answers` are the operators' (account, value). `result` is [import, export] in Wh, or [value]; empty if none.
    """

    requester: bytes
    meter: bytes
    epoch: int
    topic: str
    status: int
    since_height: int
    deadline_height: int
    answers: tuple[tuple[bytes, int], ...] = ()
    result: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that there is such a request."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How many requests are open, and how many ended how."""

    open: int = 0
    fulfilled: int = 0
    timed_out: int = 0


REQUESTS: Final = Table("oracle.requests", Request)
DEADLINES: Final = Table("oracle.deadlines", Mark)
BY_METER: Final = Table("oracle.by_meter", Mark)
BY_REQUESTER: Final = Table("oracle.by_requester", Mark)
ENDED: Final = Table("oracle.ended", Mark)
TOTALS: Final = Table("oracle.totals", Totals)
TABLES: Final = (REQUESTS, DEADLINES, BY_METER, BY_REQUESTER, ENDED, TOTALS)
_TOTALS_KEY: Final = b"requests"


def totals(view: Reader) -> Totals:
    """Return how many requests are open and how many ended how."""
    return view.get(TOTALS, _TOTALS_KEY) or Totals()


def open_request(state: Overlay, key: bytes, row: Request) -> None:
    """Keep an open request under its id."""
    state.put(REQUESTS, key, row)
    state.put(DEADLINES, _height_key(row.deadline_height) + key, Mark())
    state.put(BY_REQUESTER, row.requester + key, Mark())
    if row.meter:
        state.put(BY_METER, row.meter + epoch_key(row.epoch) + key, Mark())
    before = totals(state)
    state.put(TOTALS, _TOTALS_KEY, replace(before, open=before.open + 1))


def note_reported(context: Context, meter: bytes, epoch: int, import_wh: int, export_wh: int) -> None:
    """Answer the open requests for *meter*'s intervals up to *epoch*, which it has just reported."""
    if not totals(context.state).open:
        return  # as nearly always: one look for all meters
    for key, _ in context.state.scan(BY_METER, meter):
        wanted = int.from_bytes(key[_METER_BYTES : _METER_BYTES + _EPOCH_BYTES], "big")
        if wanted > epoch:
            break
        result = (import_wh, export_wh) if wanted == epoch else ()  # of a longer span no single epoch is known
        end(context, key[_METER_BYTES + _EPOCH_BYTES :], RequestStatus.FULFILLED, result)


def end(context: Context, key: bytes, status: RequestStatus, result: tuple[int, ...] = ()) -> None:
    """End an open request."""
    state, row = context.state, context.state.get(REQUESTS, key)
    if row is None or row.status != RequestStatus.OPEN:
        return
    state.put(REQUESTS, key, replace(row, status=int(status), result=result))
    state.delete(DEADLINES, _height_key(row.deadline_height) + key)
    state.delete(BY_REQUESTER, row.requester + key)
    if row.meter:
        state.delete(BY_METER, row.meter + epoch_key(row.epoch) + key)
    state.put(ENDED, _height_key(context.height) + key, Mark())
    is_done = status is RequestStatus.FULFILLED
    before = totals(state)
    after = Totals(before.open - 1, before.fulfilled + is_done, before.timed_out + (not is_done))
    state.put(TOTALS, _TOTALS_KEY, after)
    context.emit("oracle", "fulfilled" if is_done else "timed_out", request=key, result=list(result))


def time_out(context: Context) -> None:
    """End the requests that no report of this block or one before has answered in time; forget long ended ones."""
    for key, _ in context.state.scan(DEADLINES):
        if int.from_bytes(key[:_HEIGHT_BYTES], "big") > context.height:
            break
        end(context, key[_HEIGHT_BYTES:], RequestStatus.TIMED_OUT)
    for place, (key, _) in enumerate(context.state.scan(ENDED)):
        is_recent = int.from_bytes(key[:_HEIGHT_BYTES], "big") + RETAINED_BLOCKS > context.height
        if is_recent or place >= MAX_FORGOTTEN_PER_BLOCK:
            break
        context.state.delete(ENDED, key)
        context.state.delete(REQUESTS, key[_HEIGHT_BYTES:])


def _height_key(height: int) -> bytes:
    return height.to_bytes(_HEIGHT_BYTES, "big")
