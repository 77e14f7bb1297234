"""The hand-made cases, cleared by the kernel and by its twin."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.market import clearing, reference
from ledger.market.book import Clearing, Reason, Rule, SelfTrade
from tests.ledger.market.books import CASES, read_orders

ENGINES = pytest.mark.parametrize("clear", [clearing.clear, reference.clear], ids=["kernel", "twin"])
RULES = pytest.mark.parametrize(
    ("rule", "key"), [(Rule.PRO_RATA, "pro_rata_lr"), (Rule.PRICE_TIME, "price_time")], ids=["pro-rata", "price-time"]
)
WITHIN_LIMITS = [case for case in CASES if case["id"] != "sum-over-int64"]
BEYOND_INT64 = next(case for case in CASES if case["id"] == "sum-over-int64")


def assert_clears_as(expected: dict[str, Any], key: str, cleared: Clearing[str]) -> None:
    interval = None if cleared.price_interval is None else list(cleared.price_interval)
    assert cleared.matched_wh == expected["matched_wh"]
    assert interval == expected["price_interval"]
    assert cleared.price_uaip_per_kwh == (None if interval is None else (interval[0] + interval[1]) // 2)
    if key in expected:
        assert dict(cleared.fills_wh) == expected[key]


@ENGINES
@RULES
@pytest.mark.parametrize("case", WITHIN_LIMITS, ids=lambda case: case["id"])
def test_a_shared_case_clears_as_expected(clear: Any, rule: Rule, key: str, case: dict[str, Any]) -> None:
    cleared = clear(read_orders(case), rule=rule, self_trade=SelfTrade.ALLOW)
    assert_clears_as(case["expect"], key, cleared)
    assert cleared.welfare == case["expect"]["welfare"]
    assert cleared.rejected == ()


@ENGINES
@RULES
@pytest.mark.parametrize(
    "case", [case for case in CASES if "stp_cancel_newest" in case["expect"]], ids=lambda c: c["id"]
)
def test_the_newer_of_two_crossing_orders_of_one_user_is_rejected(
    clear: Any, rule: Rule, key: str, case: dict[str, Any]
) -> None:
    expected = case["expect"]["stp_cancel_newest"]
    cleared = clear(read_orders(case), rule=rule)
    assert_clears_as(expected, key, cleared)
    assert [rejection.order_id for rejection in cleared.rejected] == expected["rejected"]
    assert {rejection.reason for rejection in cleared.rejected} == {Reason.SELF_TRADE}


@ENGINES
def test_quantities_whose_sum_leaves_int64_are_rejected_one_by_one(clear: Any) -> None:
    cleared = clear(read_orders(BEYOND_INT64))
    assert [rejection.order_id for rejection in cleared.rejected] == [entry["id"] for entry in BEYOND_INT64["orders"]]
    assert {rejection.reason for rejection in cleared.rejected} == {Reason.QUANTITY_ABOVE_MAXIMUM}
    assert (cleared.matched_wh, cleared.price_uaip_per_kwh, cleared.welfare) == (0, None, 0)
    assert set(cleared.fills_wh.values()) == {0}


@RULES
def test_without_limits_the_twin_clears_sums_beyond_int64_exactly(rule: Rule, key: str) -> None:
    cleared = reference.match(read_orders(BEYOND_INT64), rule)
    assert_clears_as(BEYOND_INT64["expect"], key, cleared)
    assert cleared.welfare == BEYOND_INT64["expect"]["welfare"]
