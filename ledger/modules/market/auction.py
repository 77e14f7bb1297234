"""Gate closure: the book of an epoch is cleared in the first block at or after the epoch's start."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ledger import cbor
from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.market.book import Order, Rule, Side, build_arrays
from ledger.modules import money
from ledger.modules.market.orders import measure_lock
from ledger.modules.market.rollovers import roll_orders
from ledger.modules.market.tables import (
    CLOCK,
    CLOCK_KEY,
    CLOSINGS,
    EPOCHS,
    ORDERS,
    UNCLEARED,
    UPKEEP,
    UPKEEP_KEY,
    Closing,
    EpochRow,
    OrderRow,
    Upkeep,
    first_waiting,
    module,
    read_clock,
    read_epoch,
    take_on,
    wait_for_settlement,
)  # fmt: skip
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context
from ledger.records import ClearingRecord

if TYPE_CHECKING:
    from ledger.market.clearing import ArrayClearing

MAX_CLEARINGS_PER_BLOCK: Final = 4
"""After an outage the other books are carried over to the next blocks; so they are where `take_on` has no room."""

Entry = tuple[bytes, OrderRow]


def close_gates(context: Context) -> None:
    """Note which epochs ended, and clear the books whose epochs have started."""
    epoch = context.time_s // context.parameters.epoch_s
    if epoch > read_clock(context.state).last_epoch:
        context.state.put(CLOSINGS, epoch_key(epoch - 1), Closing(context.height))
    for _ in range(MAX_CLEARINGS_PER_BLOCK):
        if not _clear_next(context, epoch):
            break
    roll_orders(context)
    clock = read_clock(context.state)  # orders that rolled over have moved its sequence on
    context.state.put(CLOCK, CLOCK_KEY, replace(clock, next_clear=_next_clear(context, epoch), last_epoch=epoch))


@module.call(Role.MARKET_MAKER)
def match_orders(context: Context) -> Refusal | None:
    """Clear the first book whose gate is closed and that the runtime has not cleared itself; one in a block.

    It is the market maker's upkeep; `oracle.perform_upkeep` is another name of it.
    """
    last, waiting = context.state.get(UPKEEP, UPKEEP_KEY), first_waiting(context.state, UNCLEARED)
    if last is not None and last.height == context.height:
        return Refusal(Code.NOTHING_DUE, "overdue work was done in this block already; wait for the next one")
    epoch = context.time_s // context.parameters.epoch_s
    if waiting is None or not _clear_next(context, epoch):
        return Refusal(Code.NOTHING_DUE, "no book is overdue, or this block has no room for it")
    context.state.put(CLOCK, CLOCK_KEY, replace(read_clock(context.state), next_clear=_next_clear(context, epoch)))
    context.state.put(UPKEEP, UPKEEP_KEY, Upkeep(context.height))
    context.emit("market", "upkeep_performed", epoch=waiting, by=context.sender)
    return None


def _clear_next(context: Context, epoch: int) -> bool:
    """Clear the first book that waits, if its epoch has started by *epoch* and the block has room for it."""
    waiting = first_waiting(context.state, UNCLEARED)
    if waiting is None or waiting > epoch:
        return False
    if not take_on(context, read_epoch(context.state, waiting, context.parameters).orders):
        return False
    _clear(context, waiting)
    return True


def _next_clear(context: Context, epoch: int) -> int:
    waiting = first_waiting(context.state, UNCLEARED)
    return epoch + 1 if waiting is None else min(epoch + 1, waiting)


def _clear(context: Context, epoch: int) -> None:
    """Clear the book of *epoch*."""
    from ledger.market.clearing import clear_arrays  # noqa: PLC0415 - it loads numba, which a node does at its start

    context.state.delete(UNCLEARED, epoch_key(epoch))
    entries = sorted(context.state.scan(ORDERS, epoch_key(epoch)), key=lambda entry: entry[1].sequence)
    book = read_epoch(context.state, epoch, context.parameters)
    if not entries:
        return
    bids = [entry for entry in entries if entry[1].side == Side.BUY]
    asks = [entry for entry in entries if entry[1].side == Side.SELL]
    arrays = build_arrays([_order(entry) for entry in bids], [_order(entry) for entry in asks])
    cleared = clear_arrays(arrays, Rule(context.parameters.clearing_rule))
    book = _with_result(book, cleared)
    context.state.put(EPOCHS, epoch_key(epoch), book)
    filled = [
        (key, replace(row, fill_wh=fill_wh))
        for (key, row), fill_wh in zip([*bids, *asks], cleared.fills_wh.tolist(), strict=True)
    ]
    filled.sort(key=lambda entry: entry[1].sequence)
    _settle_locks(context, book, filled)
    if cleared.matched_wh:
        wait_for_settlement(context.state, epoch, context.height)
    _record(context, epoch, book, filled)


def _with_result(book: EpochRow, cleared: ArrayClearing) -> EpochRow:
    interval = cleared.price_interval
    price = None if interval is None else sum(interval) // 2
    return replace(book, matched_wh=cleared.matched_wh, price_uaip_per_kwh=price, price_interval=interval)


def _settle_locks(context: Context, book: EpochRow, filled: Sequence[Entry]) -> None:
    """Store the fills and release what is locked beyond the clearing price; a deposit shrinks as the price rises.

    Each account gets all of its release at one time: it may have a hundred orders in the book.
    """
    price = book.price_uaip_per_kwh or 0
    released: defaultdict[bytes, int] = defaultdict(int)
    for key, row in filled:
        locked_aaip = measure_lock(book, Side(row.side), price, row.fill_wh or 0)
        released[key[8:16]] += row.locked_aaip - locked_aaip
        context.state.put(ORDERS, key, replace(row, locked_aaip=locked_aaip))
    for account in sorted(released):
        money.unlock(context.state, account, released[account])


def _record(context: Context, epoch: int, book: EpochRow, filled: list[Entry]) -> None:
    values = [
        [row.id, key[8:16], row.meter, row.side, row.price_uaip_per_kwh, row.quantity_wh, row.sequence, row.fill_wh]
        for key, row in filled
    ]
    book_hash = hashlib.sha256(cbor.encode(values)).digest()
    price = book.price_uaip_per_kwh
    context.records.append(ClearingRecord(epoch, price, book.matched_wh, len(filled), book_hash))
    context.emit(
        "market", "cleared", epoch=epoch, price_uaip_per_kwh=price, price_interval=book.price_interval,
        matched_wh=book.matched_wh, orders=len(filled),
    )  # fmt: skip


def _order(entry: Entry) -> Order[bytes]:
    key, row = entry
    return Order(row.id, key[8:16], Side(row.side), row.price_uaip_per_kwh, row.quantity_wh, row.sequence)
