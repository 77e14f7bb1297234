"""The slow, obvious engine: the definition of a clearing in Python integers, without limits on their size.

`clearing` is the fast twin; a property test holds the two together. Competitive prices are those at which every
strictly better order can be filled whole and every strictly worse one left empty (see Wurman, Walsh, Wellman 1998,
"Flexible double auctions", for the pair of bounds).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.market.book import Clearing, Id, Order, Rule, SelfTrade, Side, admit, sort_by_sequence, split_sides


def clear(
    orders: Iterable[Order[Id]], *, rule: Rule = Rule.PRO_RATA, self_trade: SelfTrade = SelfTrade.PREVENT
) -> Clearing[Id]:
    """Admit *orders* to a book and clear it; the twin of `clearing.clear`, with the same results and errors."""
    submitted = list(orders)
    admission = admit(submitted, self_trade)
    cleared = match(admission.live, rule)
    fills = {order.order_id: cleared.fills_wh.get(order.order_id, 0) for order in sort_by_sequence(submitted)}
    return Clearing(cleared.matched_wh, cleared.price_interval, fills, admission.rejected, cleared.welfare)


def match(orders: Iterable[Order[Id]], rule: Rule) -> Clearing[Id]:
    """Clear *orders* as they are: no limits, no check for self-trade; quantities of 0 or less fill 0."""
    ordered = sort_by_sequence(orders)
    fills = {order.order_id: 0 for order in ordered}
    bids, asks = split_sides(order for order in ordered if order.quantity_wh > 0)
    interval = find_price_interval(bids, asks)
    if interval is None:
        return Clearing(0, None, fills, (), 0)
    low, _ = interval
    matched_wh = min(_sum_wh(_at_or_better(bids, low)), _sum_wh(_at_or_better(asks, low)))
    fills.update(_fill(bids, low, matched_wh, rule))
    fills.update(_fill(asks, low, matched_wh, rule))
    return Clearing(matched_wh, interval, fills, (), _measure_welfare(ordered, fills))


def find_price_interval(bids: Sequence[Order[Id]], asks: Sequence[Order[Id]]) -> tuple[int, int] | None:
    """Return the lowest and the highest competitive price, or None when no bid reaches any ask."""
    prices = sorted({order.price_uaip_per_kwh for order in [*bids, *asks]})
    if not any(_at_or_better(bids, price) and _at_or_better(asks, price) for price in prices):
        return None
    # Too low a price leaves a strictly better bid unserved; too high a price leaves a strictly better ask unsold.
    low = min(p for p in prices if _sum_wh(_better(bids, p)) <= _sum_wh(_at_or_better(asks, p)))
    high = max(p for p in prices if _sum_wh(_better(asks, p)) <= _sum_wh(_at_or_better(bids, p)))
    return low, high


def _fill(orders: Sequence[Order[Id]], price: int, matched_wh: int, rule: Rule) -> dict[Id, int]:
    """Fill the orders of one side: the strictly better whole, those at *price* with what is left of *matched_wh*."""
    better = _better(orders, price)
    fills = {order.order_id: order.quantity_wh for order in better}
    level = [order for order in orders if order.price_uaip_per_kwh == price]
    left_wh = matched_wh - _sum_wh(better)
    share = _share_by_time if rule is Rule.PRICE_TIME else _share_pro_rata
    return fills | share(level, left_wh)


def _share_by_time(level: Sequence[Order[Id]], left_wh: int) -> dict[Id, int]:
    fills = {}
    for order in level:
        fills[order.order_id] = min(order.quantity_wh, left_wh)
        left_wh -= fills[order.order_id]
    return fills


def _share_pro_rata(level: Sequence[Order[Id]], left_wh: int) -> dict[Id, int]:
    """Give each order floor(quantity x left / total), then 1 Wh each by largest remainder, ties by sequence."""
    total_wh = _sum_wh(level)
    fills = {order.order_id: order.quantity_wh * left_wh // total_wh for order in level}
    spare_wh = left_wh - sum(fills.values())
    by_remainder = sorted(level, key=lambda order: (-(order.quantity_wh * left_wh % total_wh), order.sequence))
    for order in by_remainder[:spare_wh]:
        fills[order.order_id] += 1
    return fills


def _measure_welfare(orders: Sequence[Order[Id]], fills: dict[Id, int]) -> int:
    bids, asks = split_sides(orders)
    return _value(bids, fills) - _value(asks, fills)


def _value(orders: Sequence[Order[Id]], fills: dict[Id, int]) -> int:
    return sum(order.price_uaip_per_kwh * fills[order.order_id] for order in orders)


def _better(orders: Sequence[Order[Id]], price: int) -> list[Order[Id]]:
    return [order for order in _at_or_better(orders, price) if order.price_uaip_per_kwh != price]


def _at_or_better(orders: Sequence[Order[Id]], price: int) -> list[Order[Id]]:
    """Return the orders that would trade at *price*: bids of at least, asks of at most it."""
    return [
        order
        for order in orders
        if (order.price_uaip_per_kwh >= price if order.side is Side.BUY else order.price_uaip_per_kwh <= price)
    ]


def _sum_wh(orders: Iterable[Order[Id]]) -> int:
    return sum(order.quantity_wh for order in orders)
