"""The kernel and its twin against a linear program; `make bench ONLY=market_lp` runs thousands of books more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.market import clearing, reference
from ledger.market.book import Order, Rule, SelfTrade
from tests.ledger.market.books import CASES, any_books, read_orders
from tests.ledger.market.linear_program import draw_book, find_disagreement


@settings(max_examples=100, deadline=None)
@given(any_books, st.sampled_from(Rule))
def test_welfare_is_the_linear_programs_and_its_dual_lies_in_the_price_interval(
    orders: list[Order[str]], rule: Rule
) -> None:
    for clear in (clearing.clear, reference.clear):
        assert not find_disagreement(orders, clear(orders, rule=rule, self_trade=SelfTrade.ALLOW))


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_the_first_books_of_the_bench_agree_with_the_linear_program(first: int) -> None:
    for seed in range(first, first + 50):
        orders = draw_book(seed)
        assert not find_disagreement(orders, clearing.clear(orders)), seed


def test_a_result_that_is_a_unit_off_is_found() -> None:
    orders = read_orders(next(case for case in CASES if case["expect"]["matched_wh"] > 1))
    cleared = clearing.clear(orders, self_trade=SelfTrade.ALLOW)
    assert not find_disagreement(orders, cleared)
    assert "welfare" in find_disagreement(orders, replace(cleared, welfare=cleared.welfare - 1))
    assert cleared.price_interval is not None
    beyond = cleared.price_interval[1] + 1
    assert "outside" in find_disagreement(orders, replace(cleared, price_interval=(beyond, beyond)))
