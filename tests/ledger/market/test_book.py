"""Entry to the book: the limits, and orders that would trade with their own user's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from ledger.market.book import (
    MAX_ORDERS_PER_EPOCH,
    MAX_ORDERS_PER_USER,
    MAX_PRICE_UAIP_PER_KWH,
    MAX_QUANTITY_WH,
    BookError,
    Order,
    Reason,
    Rejection,
    SelfTrade,
    Side,
    admit,
)
from tests.ledger.market.books import draw_books, number, small_quantities, tied_prices


@pytest.mark.parametrize(
    ("price", "quantity", "reason"),
    [
        (0, 0, None),
        (MAX_PRICE_UAIP_PER_KWH, MAX_QUANTITY_WH, None),
        (MAX_PRICE_UAIP_PER_KWH + 1, 1, Reason.PRICE_ABOVE_MAXIMUM),
        (-1, 1, Reason.PRICE_BELOW_MINIMUM),
        (1, -1, Reason.QUANTITY_BELOW_MINIMUM),
        (1, MAX_QUANTITY_WH + 1, Reason.QUANTITY_ABOVE_MAXIMUM),
        (10**30, 10**30, Reason.QUANTITY_ABOVE_MAXIMUM),
    ],
)
def test_an_order_at_a_limit_enters_and_past_it_is_rejected(price: int, quantity: int, reason: Reason | None) -> None:
    admission = admit(number([(Side.BUY, price, quantity)]), SelfTrade.PREVENT)
    assert admission.rejected == (() if reason is None else (Rejection("o0", reason),))
    assert len(admission.live) == (reason is None)


def test_a_user_has_a_hundred_orders_and_the_next_is_rejected() -> None:
    orders = number([(Side.BUY, 1, 1)] * (2 * MAX_ORDERS_PER_USER + 1), users=2)
    rejected = admit(orders, SelfTrade.PREVENT).rejected
    assert rejected == (Rejection(orders[-1].order_id, Reason.TOO_MANY_ORDERS_OF_USER),)


def test_a_book_has_ten_thousand_orders_and_the_next_is_rejected() -> None:
    orders = number([(Side.BUY, 1, 1)] * (MAX_ORDERS_PER_EPOCH + 1))
    rejected = admit(orders, SelfTrade.PREVENT).rejected
    assert rejected == (Rejection(orders[-1].order_id, Reason.TOO_MANY_ORDERS),)


def test_a_rejected_order_takes_no_place_and_blocks_no_other() -> None:
    orders = [
        Order("cheap ask", "u", Side.SELL, 5, 1, 1),
        Order("crosses", "u", Side.BUY, 9, 1, 2),
        Order("would cross the rejected one only", "u", Side.SELL, 8, 1, 3),
    ]
    assert admit(orders, SelfTrade.PREVENT).rejected == (Rejection("crosses", Reason.SELF_TRADE),)


def test_an_order_of_quantity_0_neither_crosses_nor_is_crossed() -> None:
    orders = number([(Side.BUY, 9, 0), (Side.SELL, 5, 1), (Side.BUY, 7, 0)], users=1)
    assert admit(orders, SelfTrade.PREVENT).rejected == ()


@settings(max_examples=200, deadline=None)
@given(draw_books(tied_prices, small_quantities, users=3))
def test_self_trade_is_found_as_by_comparing_every_pair(orders: list[Order[str]]) -> None:
    live: list[Order[str]] = []
    for order in orders:
        crossed = [o for o in live if o.user == order.user and o.side is not order.side and _cross(o, order)]
        if not crossed:
            live.append(order)
    assert admit(orders, SelfTrade.PREVENT).live == tuple(live)
    assert admit(orders, SelfTrade.ALLOW).live == tuple(orders)


def _cross(one: Order[str], other: Order[str]) -> bool:
    bid, ask = (one, other) if one.side is Side.BUY else (other, one)
    return min(bid.quantity_wh, ask.quantity_wh) > 0 and bid.price_uaip_per_kwh >= ask.price_uaip_per_kwh


@pytest.mark.parametrize(("ids", "sequences"), [(("a", "a"), (1, 2)), (("a", "b"), (1, 1))])
def test_two_orders_with_one_id_or_one_sequence_are_no_book(ids: tuple[str, str], sequences: tuple[int, int]) -> None:
    orders = [Order(name, name, Side.BUY, 1, 1, sequence) for name, sequence in zip(ids, sequences, strict=True)]
    with pytest.raises(BookError, match="its own"):
        admit(orders, SelfTrade.PREVENT)
