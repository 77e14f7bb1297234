"""How long the state keeps what is settled: books for a day, epochs as long as nodes keep blocks; sums for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ledger.modules.market.claims import give_up_claims
from ledger.modules.market.corrections import forget_shortfall
from ledger.modules.market.tables import (
    CLOCK,
    CLOCK_KEY,
    DROPPED,
    DROPPED_KEY,
    EPOCHS,
    ORDER_PLACES,
    ORDERS,
    SHORTFALLS,
    read_clock,
    read_dropped,
    read_epoch,
)  # fmt: skip
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context

MAX_FORGOTTEN_PER_BLOCK: Final = 16
RETAINED_BOOKS: Final = 96
"""For how many epochs after its settlement a book stays in the state, for its users to look at."""
RETAINED_S: Final = 400 * 86_400
"""For how long an epoch's tariffs, price and energies stay, and what may still be corrected."""


def forget_old(context: Context) -> None:
    """Remove the books and epochs that have been kept long enough, a few in each block."""
    _forget_books(context)
    _drop_epochs(context)


def _forget_books(context: Context) -> None:
    clock = read_clock(context.state)
    until = min(clock.next_settle - RETAINED_BOOKS, clock.next_forget + MAX_FORGOTTEN_PER_BLOCK)
    for epoch in range(clock.next_forget, until):
        for key, row in context.state.scan(ORDERS, epoch_key(epoch)):
            context.state.delete(ORDERS, key)
            context.state.delete(ORDER_PLACES, row.id)
    if until > clock.next_forget:
        context.state.put(CLOCK, CLOCK_KEY, replace(clock, next_forget=until))


def _drop_epochs(context: Context) -> None:
    """Drop the oldest epochs' rows and add their energies up; a late line of one of them counts with the sum."""
    state, dropped = context.state, read_dropped(context.state)
    oldest = min((context.time_s - RETAINED_S) // context.parameters.epoch_s, read_clock(state).next_settle)
    until = min(oldest, dropped.until + MAX_FORGOTTEN_PER_BLOCK)
    for epoch in range(dropped.until, until):
        dropped = dropped.plus(read_epoch(state, epoch, context.parameters))
        state.delete(EPOCHS, epoch_key(epoch))
        for key, _ in state.scan(SHORTFALLS, epoch_key(epoch)):
            forget_shortfall(state, epoch, key[8:])
        give_up_claims(state, epoch)
    if until > dropped.until:
        state.put(DROPPED, DROPPED_KEY, replace(dropped, until=until))
