"""What holds for every book: nothing is made or lost, nobody trades at a loss, the order of a list means nothing."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.market.book import MAX_PRICE_UAIP_PER_KWH, Order, Rule, Side
from ledger.market.clearing import clear
from tests.ledger.market.books import any_books

rules = st.sampled_from(Rule)
non_empty_books = any_books.filter(len)


@settings(max_examples=300, deadline=None)
@given(any_books, rules)
def test_what_is_bought_is_what_is_sold_is_what_is_matched(orders: list[Order[str]], rule: Rule) -> None:
    cleared = clear(orders, rule=rule)
    for side in Side:
        assert sum(cleared.fills_wh[order.order_id] for order in orders if order.side is side) == cleared.matched_wh
    assert all(0 <= cleared.fills_wh[order.order_id] <= order.quantity_wh for order in orders)


@settings(max_examples=300, deadline=None)
@given(any_books, rules)
def test_nobody_trades_at_a_loss_and_no_better_order_waits(orders: list[Order[str]], rule: Rule) -> None:
    cleared = clear(orders, rule=rule)
    if cleared.price_interval is None:
        return
    rejected = {rejection.order_id for rejection in cleared.rejected}
    for price in (*cleared.price_interval, sum(cleared.price_interval) // 2):
        for order in orders:
            gain = order.price_uaip_per_kwh - price if order.side is Side.BUY else price - order.price_uaip_per_kwh
            fill_wh = cleared.fills_wh[order.order_id]
            assert gain >= 0 or fill_wh == 0
            assert gain <= 0 or fill_wh == order.quantity_wh or order.order_id in rejected


@settings(max_examples=200, deadline=None)
@given(any_books, rules, st.randoms())
def test_the_order_of_the_list_changes_nothing(orders: list[Order[str]], rule: Rule, rng: random.Random) -> None:
    shuffled = rng.sample(orders, len(orders))
    assert clear(shuffled, rule=rule) == clear(orders, rule=rule)


@settings(max_examples=300, deadline=None)
@given(non_empty_books, rules, st.data())
def test_splitting_an_order_into_k_changes_its_total_by_at_most_k_minus_1(
    orders: list[Order[str]], rule: Rule, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(orders))
    cuts = sorted(data.draw(st.lists(st.integers(0, whole.quantity_wh), min_size=1, max_size=4)))
    sizes = [end - start for start, end in zip([0, *cuts], [*cuts, whole.quantity_wh], strict=True)]
    spread = [replace(order, sequence=order.sequence * 10) for order in orders if order is not whole]
    parts = [
        replace(whole, order_id=f"part{i}", quantity_wh=size, sequence=whole.sequence * 10 + i)
        for i, size in enumerate(sizes)
    ]
    before, after = clear(orders, rule=rule), clear([*spread, *parts], rule=rule)
    total_wh = sum(after.fills_wh[part.order_id] for part in parts)
    most_wh = len(parts) - 1 if rule is Rule.PRO_RATA else 0
    assert abs(total_wh - before.fills_wh[whole.order_id]) <= most_wh


@settings(max_examples=300, deadline=None)
@given(non_empty_books, rules, st.data())
def test_a_better_limit_never_gets_less(orders: list[Order[str]], rule: Rule, data: st.DataObject) -> None:
    # Every order of its own user: an improved order may not be refused for crossing its owner's other one.
    book = [replace(order, user=order.order_id) for order in orders]
    order = data.draw(st.sampled_from(book))
    bounds = (
        (order.price_uaip_per_kwh, MAX_PRICE_UAIP_PER_KWH) if order.side is Side.BUY else (0, order.price_uaip_per_kwh)
    )
    near = st.sampled_from([other.price_uaip_per_kwh for other in book]).map(
        lambda p: min(max(p, bounds[0]), bounds[1])
    )
    better = replace(order, price_uaip_per_kwh=data.draw(near | st.integers(*bounds)))
    improved = [better if other is order else other for other in book]
    before, after = clear(book, rule=rule), clear(improved, rule=rule)
    assert after.fills_wh[order.order_id] >= before.fills_wh[order.order_id]
