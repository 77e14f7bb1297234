"""The words about an order agree with its fill, in every book."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.market.book import Order, Rule, SelfTrade
from ledger.market.clearing import clear
from ledger.market.explanation import ClearedBook, explain, show_price
from tests.ledger.market.books import CASES, any_books, read_orders


def cleared_book(orders: list[Order[str]], rule: Rule) -> ClearedBook:
    entries = [
        Order(o.order_id.encode(), o.user.encode(), o.side, o.price_uaip_per_kwh, o.quantity_wh, o.sequence)
        for o in orders
    ]
    cleared = clear(entries, rule=rule, self_trade=SelfTrade.ALLOW)
    price, interval = cleared.price_uaip_per_kwh, cleared.price_interval
    return ClearedBook(entries, cleared.fills_wh, cleared.matched_wh, price, interval)


@settings(max_examples=150, deadline=None)
@given(any_books, st.sampled_from(Rule))
def test_the_words_say_whole_margin_or_nothing_just_as_the_fill_does(orders: list[Order[str]], rule: Rule) -> None:
    book = cleared_book([order for order in orders if order.quantity_wh], rule)
    for order in book.orders[:10]:
        text, fill_wh = " ".join(explain(order.order_id, book)), book.fills_wh[order.order_id]
        if "filled whole: the trade" in text:
            assert fill_wh == order.quantity_wh
        elif "at the margin" in text:
            assert f"It got {fill_wh} of {order.quantity_wh} Wh." in text
            assert book.matched_wh
        else:
            assert "got nothing" in text or "Nothing traded" in text
            assert fill_wh == 0
        assert "the book gives the same" in text


def test_a_book_whose_fills_are_not_its_own_is_told() -> None:
    book = cleared_book(read_orders(next(case for case in CASES if case["expect"]["matched_wh"])), Rule.PRO_RATA)
    first = book.orders[0].order_id
    altered = replace(book, fills_wh={**book.fills_wh, first: book.fills_wh[first] + 1})
    assert "does NOT give the same" in explain(first, altered)[-1]


def test_a_one_sided_and_an_uncrossed_book_say_why_nothing_traded() -> None:
    orders = read_orders(next(case for case in CASES if case["id"] == "no-cross"))
    assert "highest bid, 0.09 AIP/kWh, is below" in explain(b"B1", cleared_book(orders, Rule.PRO_RATA))[0]
    assert "nobody sold" in explain(b"B1", cleared_book(orders[:1], Rule.PRO_RATA))[0]


@pytest.mark.parametrize(("price", "text"), [(0, "0"), (3_250_000, "3.25"), (1, "0.000001"), (10**9, "1000")])
def test_prices_are_shown_exactly(price: int, text: str) -> None:
    assert show_price(price) == text
