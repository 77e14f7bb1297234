"""Why an order was filled, in part or not at all: plain words, from the cleared book alone.

Nothing is believed: the book is cleared again by the slow twin, and the words say whether that gives the same fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.market import reference
from ledger.market.book import Order, Rule, Side

_MICRO: Final = 10**6
_RULES: Final = {
    Rule.PRO_RATA: "shared in proportion to their quantities, the last Wh by largest remainder",
    Rule.PRICE_TIME: "given to the earlier orders first",
}


@dataclass(frozen=True, slots=True)
class ClearedBook:
    """The orders of an epoch and what the ledger says became of them; price and interval are None without a trade."""

    orders: Sequence[Order[bytes]]
    fills_wh: Mapping[bytes, int]
    matched_wh: int
    price_uaip_per_kwh: int | None
    price_interval: tuple[int, int] | None


def explain(order_id: bytes, book: ClearedBook) -> list[str]:
    """Return the sentences, each on its own; the order must be in the book."""
    order = next(order for order in book.orders if order.order_id == order_id)
    if book.price_uaip_per_kwh is None or book.price_interval is None:
        sentences = [_explain_no_trade(book)]
    else:
        low, high = book.price_interval
        one_price = (
            f"All {book.matched_wh} Wh traded at one price, {show_price(book.price_uaip_per_kwh)} AIP/kWh, the "
            f"middle of {show_price(low)} to {show_price(high)}, at any of which demand meets supply."
        )
        sentences = [one_price, _explain_fill(order, book)]
    return [*sentences, _check_again(book)]


def show_price(price_uaip_per_kwh: int) -> str:
    """Return a price in AIP per kWh, without zeros that say nothing."""
    whole, part = divmod(price_uaip_per_kwh, _MICRO)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def _explain_no_trade(book: ClearedBook) -> str:
    bids = [order.price_uaip_per_kwh for order in book.orders if order.side is Side.BUY and order.quantity_wh]
    asks = [order.price_uaip_per_kwh for order in book.orders if order.side is Side.SELL and order.quantity_wh]
    if not bids or not asks:
        return f"Nothing traded: nobody {'bought' if not bids else 'sold'} in this epoch."
    return (
        f"Nothing traded: the highest bid, {show_price(max(bids))} AIP/kWh, is below the lowest offer, "
        f"{show_price(min(asks))} AIP/kWh."
    )


def _explain_fill(order: Order[bytes], book: ClearedBook) -> str:
    """Say where the order stands among those of its side: better than the margin, at it, or beyond it."""
    side = [other for other in book.orders if other.side is order.side]
    better = [other for other in side if _is_better(other, order)]
    level = [other for other in side if other.price_uaip_per_kwh == order.price_uaip_per_kwh]
    left_wh = book.matched_wh - sum(other.quantity_wh for other in better)
    offered_wh = sum(other.quantity_wh for other in level)
    kind, limit = ("bid", "at most") if order.side is Side.BUY else ("offer", "at least")
    own = f"This {kind} of {order.quantity_wh} Wh at {limit} {show_price(order.price_uaip_per_kwh)} AIP/kWh"
    if left_wh >= offered_wh:
        return f"{own} was filled whole: the trade reached all of this price and of every better one."
    if left_wh <= 0:
        return f"{own} got nothing: better {kind}s of its side took all {book.matched_wh} Wh."
    fill_wh = book.fills_wh[order.order_id]
    return (
        f"{own} is at the margin: better {kind}s were filled whole, and {left_wh} Wh were left for {offered_wh} Wh of "
        f"{len(level)} order(s) at this very price. These were {_RULES[_find_rule(book)[0]]}. "
        f"It got {fill_wh} of {order.quantity_wh} Wh."
    )


def _is_better(other: Order[bytes], order: Order[bytes]) -> bool:
    if order.side is Side.BUY:
        return other.price_uaip_per_kwh > order.price_uaip_per_kwh
    return other.price_uaip_per_kwh < order.price_uaip_per_kwh


def _find_rule(book: ClearedBook) -> tuple[Rule, bool]:
    """Return the rule that gives the ledger's fills, and whether any does."""
    for rule in Rule:
        again = reference.match(book.orders, rule)
        if dict(again.fills_wh) == dict(book.fills_wh) and again.price_interval == book.price_interval:
            return rule, True
    return Rule.PRO_RATA, False


def _check_again(book: ClearedBook) -> str:
    rule, agrees = _find_rule(book)
    if agrees:
        return f"Cleared again from its {len(book.orders)} orders by the rule {rule.value}, the book gives the same."
    return "Cleared again from its orders, the book does NOT give the same: compare this node with the others."
