"""Orders: what may enter a book, what it locks, and how it is withdrawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.errors import CorruptedError
from ledger.genesis import Role
from ledger.market.book import MAX_ORDERS_PER_EPOCH, MAX_ORDERS_PER_USER, Side
from ledger.modules import meters, money, registry
from ledger.modules.kinds import Boolean, Epoch, MeterId, OrderId, Price, Quantity
from ledger.modules.market.tables import (
    AAIP_PER_PRICE_WH,
    CLOCK,
    CLOCK_KEY,
    EPOCHS,
    KEEPERS,
    ORDER_PLACES,
    ORDERS,
    ROLLOVERS,
    UNCLEARED,
    EpochRow,
    Keeper,
    OrderPlace,
    OrderRow,
    Rollover,
    Waiting,
    module,
    read_clock,
    read_epoch,
)  # fmt: skip
from ledger.modules.meters import MeterStatus, epoch_key
from ledger.modules.module import Context
from ledger.modules.registry.delegations import act_for_user, give_back, spend
from ledger.state import Reader

MAX_EPOCHS_AHEAD: Final = 672
"""How far ahead a book opens: a week of quarter-hours."""
ORDER_ID_BYTES: Final = 8
_SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it was asked for."""

    side: Side
    meter: bytes
    epoch: int
    price_uaip_per_kwh: int
    quantity_wh: int


@module.call(Role.USER | Role.AGENT)
def create_sell_order(
    context: Context, meter: MeterId, epoch: Epoch, price_uaip_per_kwh: Price, quantity_wh: Quantity
) -> Refusal | None:
    """Offer *quantity_wh* of what *meter* will export in *epoch* at no less than the price.

    Locks (penalty + retail - price) x quantity as deposit. The order's id is the head of the transaction's id.
    """
    return enter(context, Wish(Side.SELL, meter, epoch, price_uaip_per_kwh, quantity_wh))


@module.call(Role.USER | Role.AGENT)
def create_buy_order(
    context: Context, meter: MeterId, epoch: Epoch, price_uaip_per_kwh: Price, quantity_wh: Quantity
) -> Refusal | None:
    """Ask for *quantity_wh* of what *meter* will import in *epoch* at no more than the price.

    Locks price x quantity. The order's id is the head of the transaction's id.
    """
    return enter(context, Wish(Side.BUY, meter, epoch, price_uaip_per_kwh, quantity_wh))


@module.call(Role.USER | Role.AGENT)
def cancel_order(context: Context, order: OrderId) -> Refusal | None:
    """Withdraw one's own order before its gate closes; what it locked comes back, the fee does not."""
    state, found = context.state, _find_own(context, order)
    if isinstance(found, Refusal):
        return found
    place, row = found
    epoch, account = int.from_bytes(place.key[:8], "big"), place.key[8:16]
    money.unlock(state, account, row.locked_aaip)
    if place.agent:
        give_back(state, place.agent, epoch, row.locked_aaip)
    state.delete(ORDERS, place.key)
    state.delete(ORDER_PLACES, order)
    state.delete(ROLLOVERS, rollover_key(epoch, row.sequence))
    book = read_epoch(state, epoch, context.parameters)
    is_own_slot = len(orders_of_person(state, epoch, account)) < _count_own_slots(book)
    book = replace(book, orders=book.orders - 1, slots_used=max(0, book.slots_used - is_own_slot))
    state.put(EPOCHS, epoch_key(epoch), book)
    context.emit("market", "order_cancelled", order=order, epoch=epoch)
    return None


@module.call(Role.USER | Role.AGENT)
def roll_over(context: Context, order: OrderId, until_epoch: Epoch) -> Refusal | None:
    """Have what the auction leaves of one's own order entered in the next epoch's book, and so on to *until_epoch*.

    Each entry is checked and pays the fee like any other; the first that is refused ends it. The order's own epoch as
    *until_epoch* takes the wish back. An agent may do so for the orders that it made itself: they count to its limit.
    """
    found = _find_own(context, order)
    if isinstance(found, Refusal):
        return found
    if Role.AGENT in context.roles and found[0].agent != context.sender:
        return Refusal(Code.NOT_ORDER_OWNER, f"order {order.hex()} was not made by this agent")
    epoch = int.from_bytes(found[0].key[:8], "big")
    key = rollover_key(epoch, found[1].sequence)
    if not epoch <= until_epoch <= epoch + MAX_EPOCHS_AHEAD:
        return Refusal(Code.EPOCH_TOO_FAR, f"epoch {until_epoch} is not in {epoch} to {epoch + MAX_EPOCHS_AHEAD}")
    if until_epoch > epoch:
        context.state.put(ROLLOVERS, key, Rollover(order, until_epoch))
    else:
        context.state.delete(ROLLOVERS, key)
    context.emit("market", "rollover_chosen", order=order, until_epoch=until_epoch)
    return None


@module.call(Role.USER)
def keep_surplus(context: Context, meter: MeterId, is_kept: Boolean) -> Refusal | None:
    """Choose whether the GRID of what *meter* exports unsold stays with its owner, who then forgoes the payment.

    It holds for every epoch settled from now on, but not for gap intervals. Kept GRID can be transferred and retired.
    """
    row, name = meters.find(context.state, meter), f"meter {meter.hex()}"
    if row is None:
        return Refusal(Code.UNKNOWN_METER, f"there is no {name}")
    if row.owner != context.sender:
        return Refusal(Code.NOT_METER_OWNER, f"{name} belongs to another account")
    if is_kept:
        context.state.put(KEEPERS, meter, Keeper(context.height))
    else:
        context.state.delete(KEEPERS, meter)
    context.emit("market", "surplus_chosen", meter=meter, is_kept=is_kept)
    return None


def rollover_key(epoch: int, sequence: int) -> bytes:
    """Return the key of an order's wish to roll over: the order that was entered first comes first."""
    return epoch_key(epoch) + sequence.to_bytes(8, "big")


def orders_of_person(view: Reader, epoch: int, account: bytes) -> list[OrderRow]:
    """Return the orders in the book of *epoch* of the person whose account this is, by account and sequence."""
    accounts = registry.list_accounts(view, account)
    return [row for one in accounts for _, row in view.scan(ORDERS, epoch_key(epoch) + one)]


def measure_lock(book: EpochRow, side: Side, price_uaip_per_kwh: int, quantity_wh: int) -> int:
    """Return the aAIP that *quantity_wh* locks at a price: the cost of a purchase, the deposit of a sale."""
    if side is Side.SELL:
        price_uaip_per_kwh = book.penalty_uaip_per_kwh + book.retail_uaip_per_kwh - price_uaip_per_kwh
    return price_uaip_per_kwh * quantity_wh * AAIP_PER_PRICE_WH


def enter(context: Context, wish: Wish) -> Refusal | None:
    """Enter an order of the sender, or of the user whose agent the sender is."""
    agent = context.sender if Role.AGENT in context.roles else b""
    acting = act_for_user(context, wish.meter)
    return acting if isinstance(acting, Refusal) else _enter_if_allowed(acting, wish, agent)


def _find_own(context: Context, order: bytes) -> tuple[OrderPlace, OrderRow] | Refusal:
    """Return the sender's *order* while its gate is open."""
    place = context.state.get(ORDER_PLACES, order)
    row = None if place is None else context.state.get(ORDERS, place.key)
    if place is None or row is None:
        return Refusal(Code.UNKNOWN_ORDER, f"there is no order {order.hex()}")
    epoch, account = int.from_bytes(place.key[:8], "big"), place.key[8:16]
    acting = act_for_user(context, row.meter)
    if isinstance(acting, Refusal):
        return acting
    if account != acting.sender:
        return Refusal(Code.NOT_ORDER_OWNER, f"order {order.hex()} belongs to another account")
    if _is_gate_closed(context, epoch):
        return Refusal(Code.GATE_CLOSED, f"the book of epoch {epoch} is closed")
    return place, row


def _enter_if_allowed(context: Context, wish: Wish, agent: bytes) -> Refusal | None:
    book = _open_book(context, wish.epoch)
    mine = orders_of_person(context.state, wish.epoch, context.sender)
    locked_aaip = measure_lock(book, wish.side, wish.price_uaip_per_kwh, wish.quantity_wh)
    refusal = (
        _refuse_meter(context, wish)
        or _refuse_epoch(context, wish.epoch)
        or _refuse_limits(context, wish, book)
        or _refuse_count(wish.epoch, book, len(mine))
        or _refuse_against_own(context, wish, mine)
        or money.refuse_spending(context.state, context.sender, locked_aaip + context.parameters.order_fee_aaip)
    )
    if refusal is None and agent:
        refusal = spend(context, agent, wish.epoch, locked_aaip + context.parameters.order_fee_aaip)
    if refusal is not None:
        return refusal
    is_own_slot = len(mine) < _count_own_slots(book)
    book = replace(book, orders=book.orders + 1, slots_used=book.slots_used + is_own_slot)
    return _enter(context, wish, book, locked_aaip, agent)


def _open_book(context: Context, epoch: int) -> EpochRow:
    """Return the book of *epoch*; as it opens, tariffs and the number of users with slots of their own freeze."""
    book = read_epoch(context.state, epoch, context.parameters)
    return book if book.users else replace(book, users=registry.count_verified_users(context.state))


def _count_own_slots(book: EpochRow) -> int:
    return min(MAX_ORDERS_PER_USER, MAX_ORDERS_PER_EPOCH // max(1, book.users))


def _enter(context: Context, wish: Wish, book: EpochRow, locked_aaip: int, agent: bytes) -> Refusal | None:
    state, order_id = context.state, context.transaction_id[:ORDER_ID_BYTES]
    if state.get(ORDER_PLACES, order_id) is not None:
        return Refusal(Code.ORDER_EXISTS, f"there is an order {order_id.hex()} already")
    money.pay(state, context.sender, context.genesis.grid_account, context.parameters.order_fee_aaip)
    money.lock(state, context.sender, locked_aaip)
    clock = read_clock(state)
    key = epoch_key(wish.epoch) + context.sender + clock.next_sequence.to_bytes(8, "big")
    state.put(CLOCK, CLOCK_KEY, replace(clock, next_sequence=clock.next_sequence + 1))
    state.put(
        ORDERS, key,
        OrderRow(
            order_id, wish.meter, wish.side.value, wish.price_uaip_per_kwh, wish.quantity_wh, clock.next_sequence,
            locked_aaip,
        ),
    )  # fmt: skip
    state.put(ORDER_PLACES, order_id, OrderPlace(key, agent))
    state.put(EPOCHS, epoch_key(wish.epoch), book)
    if state.get(UNCLEARED, epoch_key(wish.epoch)) is None:
        state.put(UNCLEARED, epoch_key(wish.epoch), Waiting(context.height))
    context.emit(
        "market", "order_created", order=order_id, account=context.sender, meter=wish.meter, epoch=wish.epoch,
        side=wish.side.value, price_uaip_per_kwh=wish.price_uaip_per_kwh, quantity_wh=wish.quantity_wh,
        locked_aaip=locked_aaip, fee_aaip=context.parameters.order_fee_aaip,
    )  # fmt: skip
    return None


def _is_gate_closed(context: Context, epoch: int) -> bool:
    return context.time_ms >= epoch * context.parameters.epoch_s * 1000


def _refuse_meter(context: Context, wish: Wish) -> Refusal | None:
    meter, name = meters.find(context.state, wish.meter), f"meter {wish.meter.hex()}"
    if meter is None:
        return Refusal(Code.UNKNOWN_METER, f"there is no {name}")
    if meter.owner != context.sender:
        return Refusal(Code.NOT_METER_OWNER, f"{name} belongs to another account")
    if meter.status != MeterStatus.ACTIVE:
        return Refusal(Code.METER_SUSPENDED, f"{name} is suspended")
    if context.state.get(meters.MARKS, wish.meter) is None:
        return Refusal(Code.METER_WITHOUT_BASELINE, f"{name} has no baseline yet")
    if wish.side is Side.SELL and not meter.can_export:
        return Refusal(Code.METER_CANNOT_EXPORT, f"{name} cannot export")
    return None


def _refuse_epoch(context: Context, epoch: int) -> Refusal | None:
    if _is_gate_closed(context, epoch):
        return Refusal(Code.GATE_CLOSED, f"the book of epoch {epoch} is closed")
    if epoch > context.time_s // context.parameters.epoch_s + MAX_EPOCHS_AHEAD:
        return Refusal(Code.EPOCH_TOO_FAR, f"epoch {epoch} is more than {MAX_EPOCHS_AHEAD} epochs ahead")
    return None


def _refuse_limits(context: Context, wish: Wish, book: EpochRow) -> Refusal | None:
    lowest, highest = context.parameters.min_order_wh, context.parameters.max_order_wh
    price, quantity = wish.price_uaip_per_kwh, wish.quantity_wh
    if quantity < lowest:
        return Refusal(Code.QUANTITY_BELOW_MINIMUM, f"{quantity} Wh is below {lowest} Wh")
    if quantity > highest:
        return Refusal(Code.QUANTITY_ABOVE_MAXIMUM, f"{quantity} Wh is above {highest} Wh")
    if price < book.feed_in_uaip_per_kwh:
        return Refusal(Code.PRICE_BELOW_FEED_IN, f"{price} is below the feed-in tariff {book.feed_in_uaip_per_kwh}")
    if price > book.retail_uaip_per_kwh:
        return Refusal(Code.PRICE_ABOVE_RETAIL, f"{price} is above the retail tariff {book.retail_uaip_per_kwh}")
    return None


def _refuse_count(epoch: int, book: EpochRow, mine: int) -> Refusal | None:
    """Keep every user's own slots free for them, whatever the others send."""
    if mine >= MAX_ORDERS_PER_USER:
        return Refusal(Code.TOO_MANY_ORDERS_OF_USER, f"there are {mine} orders of yours in epoch {epoch}")
    free, own_slots = MAX_ORDERS_PER_EPOCH - book.orders, _count_own_slots(book)
    if mine >= own_slots:
        free -= max(0, book.users * own_slots - book.slots_used)
    if free <= 0:
        return Refusal(Code.TOO_MANY_ORDERS, f"the book of epoch {epoch} has no room but for others' own slots")
    return None


def _refuse_against_own(context: Context, wish: Wish, mine: list[OrderRow]) -> Refusal | None:
    meter = meters.find(context.state, wish.meter)
    if meter is None:
        raise CorruptedError(f"meter {wish.meter.hex()} vanished; synchronise anew")
    same = [row for row in mine if row.meter == wish.meter and row.side == wish.side]
    live_wh = wish.quantity_wh + sum(row.quantity_wh for row in same)
    if live_wh * _SECONDS_PER_HOUR > meter.rated_power_w * context.parameters.epoch_s:
        return Refusal(Code.ABOVE_RATED_POWER, f"{live_wh} Wh are more than {meter.rated_power_w} W yield in an epoch")
    for row in mine:
        bid, ask = row.price_uaip_per_kwh, wish.price_uaip_per_kwh
        if wish.side is Side.BUY:
            bid, ask = ask, bid
        if row.side != wish.side and bid >= ask:
            return Refusal(Code.SELF_CROSS, f"it would trade with your own order {row.id.hex()}")
    return None
