"""Roll-over: what the auction left of an order goes into the book of the next epoch, if its user asked for that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.market.book import Side
from ledger.modules import accounts
from ledger.modules.market.orders import ORDER_ID_BYTES, Wish, enter
from ledger.modules.market.tables import ORDER_PLACES, ROLLOVERS, OrderRow, Rollover
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context

_NOT_VERIFIED: Final = Refusal(Code.USER_NOT_VERIFIED, "the user may not trade")


def roll_orders(context: Context, epoch: int, filled: Sequence[tuple[bytes, OrderRow]]) -> None:
    """Enter the rests of the *filled* orders (key, row) of *epoch* that are to roll over; those refused end here.

    *filled* are in the order of their sequence, in which they were entered: who was first stays first.
    """
    following = max(epoch, context.time_s // context.parameters.epoch_s) + 1  # after an outage, the first open one
    for key, row in filled:
        wanted = context.state.get(ROLLOVERS, epoch_key(epoch) + row.id)
        if wanted is None:
            continue
        context.state.delete(ROLLOVERS, epoch_key(epoch) + row.id)
        rest_wh = row.quantity_wh - (row.fill_wh or 0)
        if rest_wh and following <= wanted.until_epoch:
            context.hook_work += 1
            wish = Wish(Side(row.side), row.meter, following, row.price_uaip_per_kwh, rest_wh)
            _enter_rest(context, key[8:16], row.id, wish, wanted)


def _enter_rest(context: Context, account: bytes, order: bytes, wish: Wish, wanted: Rollover) -> None:
    """Enter *wish* as whoever made *order* did: its user's *account*, or an agent of theirs."""
    state, mark = context.state, context.state.mark()
    place = state.get(ORDER_PLACES, order)
    sender = place.agent if place is not None and place.agent else account
    found = accounts.find(state, sender)
    roles = Role(found.roles) if found is not None else Role(0)
    identity = hashlib.sha256(b"roll-over" + order + epoch_key(wish.epoch)).digest()
    acting = replace(context, sender=sender, roles=roles, transaction_id=identity)
    refusal = enter(acting, wish) if roles & (Role.USER | Role.AGENT) else _NOT_VERIFIED
    if refusal is not None:
        state.roll_back(mark)
        context.emit("market", "rollover_ended", order=order, code=int(refusal.code))
        return
    new = identity[:ORDER_ID_BYTES]
    if wanted.until_epoch > wish.epoch:
        state.put(ROLLOVERS, epoch_key(wish.epoch) + new, wanted)
    context.emit("market", "rolled_over", order=order, new_order=new, epoch=wish.epoch, quantity_wh=wish.quantity_wh)
