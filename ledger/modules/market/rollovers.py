"""Roll-over: what the auction left of an order goes into the book of the next epoch, if its user asked for that."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.market.book import Side
from ledger.modules import accounts
from ledger.modules.market.orders import ORDER_ID_BYTES, Wish, enter
from ledger.modules.market.tables import ORDER_PLACES, ORDERS, ROLLOVERS, UNCLEARED, OrderPlace, Rollover, take_on
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context
from ledger.records import FeeRecord

_NOT_VERIFIED: Final = Refusal(Code.USER_NOT_VERIFIED, "the user may not trade")


def roll_orders(context: Context) -> None:
    """Enter the rests of cleared orders that are to roll over, the first entered first; those refused end here.

    Where `take_on` has no room, they wait for the next blocks.
    """
    state, now = context.state, context.time_s // context.parameters.epoch_s
    for key, wanted in state.scan(ROLLOVERS):
        is_cleared = int.from_bytes(key[:8], "big") <= now and state.get(UNCLEARED, key[:8]) is None
        if not is_cleared or not take_on(context, 1):
            break
        state.delete(ROLLOVERS, key)
        place = state.get(ORDER_PLACES, wanted.order)
        row = None if place is None else state.get(ORDERS, place.key)
        if place is None or row is None:
            continue  # it waited for longer than books are kept
        rest_wh = row.quantity_wh - (row.fill_wh or 0)
        if rest_wh and now < wanted.until_epoch:
            wish = Wish(Side(row.side), row.meter, now + 1, row.price_uaip_per_kwh, rest_wh)
            _enter_rest(context, place, wish, wanted)


def _enter_rest(context: Context, place: OrderPlace, wish: Wish, wanted: Rollover) -> None:
    """Enter *wish* as whoever made the order at *place* did: its user, or an agent of theirs."""
    state, mark, order = context.state, context.state.mark(), wanted.order
    sender = place.agent or place.key[8:16]
    found = accounts.find(state, sender)
    roles = Role(found.roles) if found is not None else Role(0)
    identity = hashlib.sha256(b"roll-over" + order + epoch_key(wish.epoch)).digest()
    acting = replace(context, sender=sender, roles=roles, transaction_id=identity)
    refusal = enter(acting, wish) if roles & (Role.USER | Role.AGENT) else _NOT_VERIFIED
    if refusal is not None:
        state.roll_back(mark)
        context.emit("market", "rollover_ended", order=order, code=int(refusal.code))
        return
    new, fee_aaip = identity[:ORDER_ID_BYTES], context.parameters.order_fee_aaip
    entered = state.get(ORDER_PLACES, new)
    if wanted.until_epoch > wish.epoch and entered is not None:
        state.put(ROLLOVERS, epoch_key(wish.epoch) + entered.key[16:], replace(wanted, order=new))
    if fee_aaip:
        context.records.append(FeeRecord(place.key[8:16], context.height, new, wish.meter, wish.epoch, fee_aaip))
    context.emit("market", "rolled_over", order=order, new_order=new, epoch=wish.epoch, quantity_wh=wish.quantity_wh)
