"""The oracle: requests for data, and upkeep that is overdue.

For meter data fulfilling a request *is* an interval report with the meter's own signature: nobody's word stands in for
it. Quorums of operators serve only data that nobody signs at its source, such as a feeder's balance or a price index.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import governance, meters, requests
from ledger.modules.kinds import Bytes, Epoch, Integer, Label, MeterId, ReadingEnvelopes
from ledger.modules.market import auction, intervals
from ledger.modules.market.tables import UNCLEARED, first_waiting
from ledger.modules.module import Context, Look, Module
from ledger.modules.registry.services import count_operators
from ledger.modules.requests import BY_REQUESTER, REQUESTS, Request, RequestStatus

MAX_OPEN_REQUESTS: Final = 1_000
MAX_OPEN_REQUESTS_PER_ACCOUNT: Final = 16
MIN_OPERATORS: Final = 3
RequestId = Annotated[bytes, Bytes(requests.ID_BYTES, requests.ID_BYTES)]
OracleValue = Annotated[int, Integer(-(2**63), 2**63 - 1)]
_METER_REQUESTERS: Final = Role.USER | Role.ADMIN | Role.AUTHORITY | Role.GRID
"""Whoever asks for a meter's interval is shown it: those who see all intervals anyway, and users their own."""
_REQUESTERS: Final = _METER_REQUESTERS | Role.MARKET_MAKER


module = Module("oracle", tables=requests.TABLES)


@module.call(_METER_REQUESTERS)
def request_energy_data(context: Context, meter: MeterId, epoch: Epoch) -> Refusal | None:
    """Ask for a meter's interval of *epoch*; users for their own meters. The request's id heads the transaction's.

    It is answered by the first report that covers the epoch, and times out 100 blocks after it was made.
    """
    row, mark, name = meters.find(context.state, meter), context.state.get(meters.MARKS, meter), meter.hex()
    if row is None:
        return Refusal(Code.UNKNOWN_METER, f"there is no meter {name}")
    if not context.roles & ~Role.USER & _METER_REQUESTERS and row.owner != context.sender:
        return Refusal(Code.NOT_METER_OWNER, f"meter {name} belongs to another account")
    if mark is not None and mark.epoch > epoch:
        return Refusal(Code.ALREADY_REPORTED, f"meter {name} is booked up to epoch {mark.epoch} already")
    return _open(context, meter, epoch, "")


@module.call(is_free=True)
def fulfill_energy_data(context: Context, request: RequestId, readings: ReadingEnvelopes) -> Refusal | None:
    """Answer a request with the meter's own readings: an interval report, by whoever may make one."""
    row = _find_open(context, request)
    if isinstance(row, Refusal):
        return row
    if not row.meter:
        return Refusal(Code.WRONG_REQUEST, f"request {request.hex()} asks for {row.topic!r}, which no meter signs")
    refusal = intervals.report(context, readings)
    if refusal is None and isinstance(_find_open(context, request), Request):
        return Refusal(Code.NOT_ANSWERED, f"none of the readings that count covers epoch {row.epoch} of its meter")
    return refusal


@module.call(_REQUESTERS)
def request_data(context: Context, topic: Label, epoch: Epoch) -> Refusal | None:
    """Ask the operators for the value of *topic* in *epoch*: data that nobody signs at its source, never a meter's."""
    operators = count_operators(context.state)
    if operators < MIN_OPERATORS:
        return Refusal(Code.TOO_FEW_OPERATORS, f"there are {operators} operators; {MIN_OPERATORS} are needed")
    return _open(context, b"", epoch, topic)


@module.call(Role.OPERATOR)
def fulfill_data(context: Context, request: RequestId, value: OracleValue) -> Refusal | None:
    """Answer a request for a topic, once; it is fulfilled as soon as more than two thirds of the operators agree."""
    row = _find_open(context, request)
    if isinstance(row, Refusal):
        return row
    if row.meter:
        return Refusal(Code.WRONG_REQUEST, f"request {request.hex()} is for meter data, which only the meter signs")
    if any(operator == context.sender for operator, _ in row.answers):
        return Refusal(Code.ALREADY_ANSWERED, "you have answered it already; the other operators must, too")
    answers = (*row.answers, (context.sender, value))
    context.state.put(REQUESTS, request, replace(row, answers=answers))
    context.emit("oracle", "answered", request=request, operator=context.sender, value=value)
    if sum(given == value for _, given in answers) > 2 * count_operators(context.state) // 3:
        requests.end(context, request, RequestStatus.FULFILLED, (value,))
    return None


@module.call(Role.MARKET_MAKER)
def perform_upkeep(context: Context) -> Refusal | None:
    """Do what `check_upkeep` says is due: `market.match_orders` under the oracle's name."""
    if governance.is_paused(context.state, "market"):
        return Refusal(Code.MODULE_PAUSED, "module market is paused")
    return auction.match_orders(context)


@module.query()
def check_upkeep(look: Look) -> dict[str, Any]:
    """Return whether `perform_upkeep` has something to do, and of which epoch: null where nothing is overdue."""
    epoch = first_waiting(look.state, UNCLEARED)
    is_due = epoch is not None and epoch * look.parameters.epoch_s * 1000 <= look.time_ms
    return {"is_due": is_due, "epoch": epoch if is_due else None}


@module.query()
def read_request(look: Look, request: RequestId) -> dict[str, Any] | None:
    """Return a request: who asked for what, its status, deadline and answers; null where it is unknown or forgotten."""
    row = look.state.get(REQUESTS, request)
    if row is None:
        return None
    return {
        "requester": row.requester,
        "meter": row.meter or None,
        "epoch": row.epoch,
        "topic": row.topic or None,
        "status": RequestStatus(row.status).name.lower(),
        "since_height": row.since_height,
        "deadline_height": row.deadline_height,
        "answers": [{"operator": operator, "value": value} for operator, value in row.answers],
        "result": list(row.result) or None,
    }


@module.metric()
def requests_open(look: Look) -> int:
    """Requests to the oracle that wait for an answer."""
    return requests.totals(look.state).open


@module.metric()
def requests_timed_out(look: Look) -> int:
    """Requests to the oracle that nobody answered in time."""
    return requests.totals(look.state).timed_out


def _open(context: Context, meter: bytes, epoch: int, topic: str) -> Refusal | None:
    state, key = context.state, context.transaction_id[: requests.ID_BYTES]
    if state.get(REQUESTS, key) is not None:
        return Refusal(Code.REQUEST_EXISTS, f"there is a request {key.hex()} already")
    if sum(1 for _ in state.scan(BY_REQUESTER, context.sender)) >= MAX_OPEN_REQUESTS_PER_ACCOUNT:
        return Refusal(Code.TOO_MANY_REQUESTS, f"you have {MAX_OPEN_REQUESTS_PER_ACCOUNT} open requests")
    if requests.totals(state).open >= MAX_OPEN_REQUESTS:
        return Refusal(Code.TOO_MANY_REQUESTS, f"{MAX_OPEN_REQUESTS} requests are open")
    deadline = context.height + requests.TIMEOUT_BLOCKS
    row = Request(context.sender, meter, epoch, topic, int(RequestStatus.OPEN), context.height, deadline)
    requests.open_request(state, key, row)
    context.emit("oracle", "requested", request=key, meter=meter, epoch=epoch, topic=topic, deadline_height=deadline)
    return None


def _find_open(context: Context, request: bytes) -> Request | Refusal:
    row = context.state.get(REQUESTS, request)
    if row is None:
        return Refusal(Code.UNKNOWN_REQUEST, f"there is no request {request.hex()}")
    if row.status != RequestStatus.OPEN:
        status = RequestStatus(row.status).name.lower()
        return Refusal(Code.REQUEST_ENDED, f"request {request.hex()} is {status} already")
    return row


module.end = requests.time_out
