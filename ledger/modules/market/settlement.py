"""When an epoch settles, and the one atomic step in which it does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Final

from ledger.errors import CorruptedError
from ledger.keys import thumbprint
from ledger.market.book import Side
from ledger.modules import meters
from ledger.modules.market.claims import judge_settled
from ledger.modules.market.corrections import correct_late, remember_shortfalls
from ledger.modules.market.lines import Line, Position, draw_gap_line, draw_lines
from ledger.modules.market.retention import forget_old
from ledger.modules.market.tables import (
    CLOCK,
    CLOCK_KEY,
    CLOSINGS,
    EPOCHS,
    INTERVALS,
    KEEPERS,
    ORDERS,
    ROLLOVERS,
    UNCLEARED,
    UNSETTLED,
    Interval,
    OrderRow,
    first_waiting,
    read_clock,
    read_epoch,
    read_span,
    take_on,
)  # fmt: skip
from ledger.modules.market.transfers import book_lines
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context, Look
from ledger.records import LineFlag, SettlementLine

MAX_SETTLEMENTS_PER_BLOCK: Final = 4
"""After an outage the other epochs are carried over to the next blocks; so they are where `take_on` has no room."""


def settle_epochs(context: Context) -> None:
    """Settle the epochs that ended and whose meters have all reported, or whose deadline has passed."""
    limit = _settleable_before(context)
    for _ in range(MAX_SETTLEMENTS_PER_BLOCK):
        epoch = first_waiting(context.state, UNSETTLED)
        if epoch is None or epoch >= limit or not take_on(context, _measure_work(context, epoch)):
            break
        _settle(context, epoch)
    waiting = first_waiting(context.state, UNSETTLED)
    reached = limit if waiting is None else min(limit, waiting)
    clock = read_clock(context.state)
    if reached > clock.next_settle:
        context.state.put(CLOCK, CLOCK_KEY, replace(clock, next_settle=reached))
        for key, _ in context.state.scan(CLOSINGS):
            if int.from_bytes(key, "big") < reached:
                context.state.delete(CLOSINGS, key)
    forget_old(context)


def find_due_ms(look: Look) -> int | None:
    """Return the earliest block time at which gate closure or settlement has something to do, or None."""
    view, parameters = look.state, look.parameters
    epoch_ms = parameters.epoch_s * 1000
    uncleared, unsettled = first_waiting(view, UNCLEARED), first_waiting(view, UNSETTLED)
    times = [] if uncleared is None else [uncleared * epoch_ms]
    rolling = next(view.scan(ROLLOVERS), None)  # its book is cleared when its epoch starts, and it rolls then or waits
    if rolling is not None:
        times.append(int.from_bytes(rolling[0][:8], "big") * epoch_ms)
    if unsettled is not None:
        ended_ms = (unsettled + 1) * epoch_ms
        unreported = meters.first_unreported_epoch(view)
        is_complete = unreported is None or unreported > unsettled
        is_observed = read_clock(view).last_epoch > unsettled
        deadline_ms = ended_ms + parameters.settle_deadline_s * 1000
        times.append(deadline_ms if is_observed and not is_complete else ended_ms)
    return min(times, default=None)


def book_gap(
    context: Context, span: tuple[int, int], meter_id: bytes, interval: Interval, flags: LineFlag
) -> SettlementLine:
    """Book a gap interval over the epochs *span* (first, last) at once, against the grid account alone.

    Where it shows late what a trade took as not delivered, its correction follows. Returns its line.
    """
    book, epoch = read_span(context.state, *span, context.parameters), span[1]
    position = _position(context, meter_id, [], interval)
    line = draw_gap_line(epoch, book, position, interval, flags)
    book_lines(context, epoch, book, [line], {})
    correct_late(context, span[0], line.record)
    return line.record


def _settleable_before(context: Context) -> int:
    """Return the first epoch that may not be settled yet: not over, not cleared, or still waited for."""
    clock, unreported = read_clock(context.state), meters.first_unreported_epoch(context.state)
    ended = min(clock.last_epoch, clock.next_clear)
    return ended if unreported is None else min(ended, max(unreported, _overdue_before(context)))


def _overdue_before(context: Context) -> int:
    """Return the first epoch whose deadline has not passed, by time and by blocks since its end was observed."""
    parameters = context.parameters
    by_time = (context.time_s - parameters.settle_deadline_s) // parameters.epoch_s
    by_blocks = 0
    for key, closing in context.state.scan(CLOSINGS):
        if closing.height + parameters.settle_deadline_blocks <= context.height:
            by_blocks = int.from_bytes(key, "big") + 1
    return min(by_time, by_blocks)


def _measure_work(context: Context, epoch: int) -> int:
    """Return how many orders and intervals settling *epoch* goes through."""
    orders = read_epoch(context.state, epoch, context.parameters).orders
    return orders + sum(1 for _ in context.state.scan(INTERVALS, epoch_key(epoch)))


def _settle(context: Context, epoch: int) -> None:
    """Settle *epoch*."""
    book = read_epoch(context.state, epoch, context.parameters)
    orders = list(context.state.scan(ORDERS, epoch_key(epoch)))
    lines = draw_lines(epoch, book, _positions(context, epoch, orders))
    locked: defaultdict[bytes, int] = defaultdict(int)
    for key, row in orders:
        locked[key[8:16]] += row.locked_aaip
    book_lines(context, epoch, book, lines, dict(locked))
    remember_shortfalls(context, book, lines)
    for key, row in orders:
        context.state.put(ORDERS, key, replace(row, locked_aaip=0))
    for key, _ in context.state.scan(INTERVALS, epoch_key(epoch)):
        context.state.delete(INTERVALS, key)
    context.state.delete(UNSETTLED, epoch_key(epoch))
    judge_settled(context, epoch)
    _emit(context, epoch, lines)


def _positions(context: Context, epoch: int, orders: list[tuple[bytes, OrderRow]]) -> list[Position]:
    """Return the part of every meter that traded or reported, in the order of meter ids."""
    fills: defaultdict[bytes, list[OrderRow]] = defaultdict(list)
    for _, row in orders:
        if row.fill_wh:
            fills[row.meter].append(row)
    intervals = {key[8:]: row for key, row in context.state.scan(INTERVALS, epoch_key(epoch))}
    return [
        _position(context, meter, fills.get(meter, []), intervals.get(meter)) for meter in sorted({*fills, *intervals})
    ]


def _position(context: Context, meter_id: bytes, fills: list[OrderRow], interval: Interval | None) -> Position:
    meter = meters.find(context.state, meter_id)
    if meter is None:
        raise CorruptedError(f"meter {meter_id.hex()} traded or reported but does not exist; synchronise anew")
    sold_wh = sum(row.fill_wh or 0 for row in fills if row.side == Side.SELL)
    bought_wh = sum(row.fill_wh or 0 for row in fills if row.side == Side.BUY)
    sequence = min((row.sequence for row in fills), default=0)
    keeps = context.state.get(KEEPERS, meter_id) is not None
    signer = context.state.get(meters.METER_KEYS, interval.key_id) if interval is not None else None
    key = thumbprint(meter.public_key if signer is None else signer.public_key)
    return Position(meter.owner, meter_id, key, sold_wh, bought_wh, sequence, interval, keeps)


def _emit(context: Context, epoch: int, lines: list[Line]) -> None:
    row = context.state.get(EPOCHS, epoch_key(epoch))
    if row is None:
        raise CorruptedError(f"epoch {epoch} vanished while it was settled; synchronise anew")
    context.emit(
        "market", "settled", epoch=epoch, lines=len(lines), matched_wh=row.matched_wh, import_wh=row.import_wh,
        export_wh=row.export_wh, grid_supplied_wh=row.grid_supplied_wh, grid_absorbed_wh=row.grid_absorbed_wh,
    )  # fmt: skip
