"""Random books: the kernel against its twin, and both against an oracle that matches one Wh at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.market import clearing, reference
from ledger.market.book import (
    MAX_ORDERS_PER_EPOCH,
    MAX_PRICE_UAIP_PER_KWH,
    MAX_QUANTITY_WH,
    BookArrays,
    BookError,
    Order,
    Rule,
    SelfTrade,
    Side,
)
from tests.ledger.market.books import any_books, draw_books, number, small_quantities, tied_prices

rules = st.sampled_from(Rule)


def match_one_by_one(orders: list[Order[str]]) -> tuple[int, int]:
    """Return (volume, welfare) of pairing the dearest bid Wh with the cheapest ask Wh for as long as they cross."""
    units = {
        side: [o.price_uaip_per_kwh for o in orders if o.side is side for _ in range(o.quantity_wh)] for side in Side
    }
    pairs = zip(sorted(units[Side.BUY], reverse=True), sorted(units[Side.SELL]), strict=False)
    gains = [bid - ask for bid, ask in pairs if bid >= ask]
    return len(gains), sum(gains)


def is_competitive(orders: list[Order[str]], price: int) -> bool:
    """Tell whether one volume fills every order better than *price* whole and leaves every worse one empty."""
    least, most = [0, 0], [0, 0]
    for order in orders:
        edge = order.price_uaip_per_kwh - price if order.side is Side.BUY else price - order.price_uaip_per_kwh
        least[order.side is Side.BUY] += order.quantity_wh if edge > 0 else 0
        most[order.side is Side.BUY] += order.quantity_wh if edge >= 0 else 0
    return max(least) <= min(most)


@settings(max_examples=600, deadline=None)
@given(any_books, rules, st.sampled_from(SelfTrade))
def test_the_kernel_gives_what_its_twin_gives(orders: list[Order[str]], rule: Rule, self_trade: SelfTrade) -> None:
    fast = clearing.clear(orders, rule=rule, self_trade=self_trade)
    slow = reference.clear(orders, rule=rule, self_trade=self_trade)
    assert fast == slow
    assert list(fast.fills_wh) == list(slow.fills_wh)


@settings(max_examples=300, deadline=None)
@given(draw_books(tied_prices, small_quantities, max_size=14), rules)
def test_volume_welfare_and_prices_are_those_of_matching_one_wh_at_a_time(orders: list[Order[str]], rule: Rule) -> None:
    volume, welfare = match_one_by_one(orders)
    competitive = [price for price in range(7) if is_competitive(orders, price)]
    for clear in (clearing.clear, reference.clear):
        cleared = clear(orders, rule=rule)
        assert (cleared.matched_wh, cleared.welfare) == (volume, welfare)
        assert cleared.price_interval == ((competitive[0], competitive[-1]) if volume else None)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("ask_price", [0, MAX_PRICE_UAIP_PER_KWH])
def test_ten_thousand_orders_at_both_maxima_clear_exactly(rule: Rule, ask_price: int) -> None:
    bids = [(Side.BUY, MAX_PRICE_UAIP_PER_KWH, MAX_QUANTITY_WH)] * 5_003
    asks = [(Side.SELL, ask_price, MAX_QUANTITY_WH)] * (MAX_ORDERS_PER_EPOCH - 5_003)
    orders = number(bids + asks)
    cleared = clearing.clear(orders, rule=rule)
    assert cleared == reference.clear(orders, rule=rule)
    assert cleared.matched_wh == 4_997 * MAX_QUANTITY_WH
    assert cleared.welfare == cleared.matched_wh * (MAX_PRICE_UAIP_PER_KWH - ask_price)
    assert cleared.rejected == ()


@pytest.mark.parametrize("rule", Rule)
def test_ten_thousand_random_orders_clear_as_in_the_twin(rule: Rule) -> None:
    rng = random.Random(6)
    entries = [
        (rng.choice(list(Side)), rng.randrange(80_000, 80_200), rng.randint(0, MAX_QUANTITY_WH))
        for _ in range(MAX_ORDERS_PER_EPOCH)
    ]
    orders = number(entries)
    assert clearing.clear(orders, rule=rule) == reference.clear(orders, rule=rule)


def test_the_largest_arrays_share_the_margin_without_wrapping() -> None:
    bid_count = 2_500_000
    quantities = np.full(clearing.MAX_ARRAY_ORDERS, MAX_QUANTITY_WH, np.int64)
    quantities[:bid_count:7] -= 1
    prices = np.full(clearing.MAX_ARRAY_ORDERS, MAX_PRICE_UAIP_PER_KWH, np.int64)
    cleared = clearing.clear_arrays(BookArrays(prices, quantities, bid_count), Rule.PRO_RATA)
    offered, left = int(quantities[:bid_count].sum()), int(quantities[bid_count:].sum())
    assert cleared.matched_wh == left == int(cleared.fills_wh[:bid_count].sum())
    assert cleared.welfare == 0
    for place in (0, 1, 7, 8, bid_count - 1):
        floor = int(quantities[place]) * left // offered
        assert floor <= cleared.fills_wh[place] <= floor + 1


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_long_division_is_exact_over_its_whole_range(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, clearing.MAX_ARRAY_ORDERS * MAX_QUANTITY_WH))
    left = data.draw(st.integers(0, total))
    quantity = data.draw(st.integers(0, MAX_QUANTITY_WH))
    assert clearing._divide(quantity, left, total) == divmod(quantity * left, total)


def test_arrays_that_are_read_only_or_strided_clear_like_any_other() -> None:
    prices, quantities = np.array([[3, 9], [1, 9]], np.int64), np.array([5, 4], np.int64)
    quantities.flags.writeable = False
    cleared = clearing.clear_arrays(BookArrays(prices[:, 0], quantities, 1), Rule.PRO_RATA)
    assert (cleared.matched_wh, cleared.price_interval, cleared.fills_wh.tolist()) == (4, (3, 3), [4, 4])


@pytest.mark.parametrize(
    ("prices", "quantities", "bid_count"),
    [
        ([1.0], [1], 1),
        ([[1]], [[1]], 1),
        ([1, 2], [1], 1),
        ([1], [1], 2),
        ([1], [1], -1),
        ([-1], [1], 1),
        ([1], [-1], 1),
        ([MAX_PRICE_UAIP_PER_KWH + 1], [1], 1),
        ([1], [MAX_QUANTITY_WH + 1], 1),
    ],
)
def test_arrays_that_are_no_book_are_refused(prices: list[int], quantities: list[int], bid_count: int) -> None:
    with pytest.raises(BookError):
        clearing.clear_arrays(BookArrays(np.array(prices), np.array(quantities), bid_count), Rule.PRO_RATA)
