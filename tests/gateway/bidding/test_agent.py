"""What agents forecast and plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.bidding.agent import MeterLimits, OrderPlan, plan_orders
from gateway.bidding.forecast import Forecast, persist
from gateway.bidding.instructions import Instructions, Trade, parse
from gateway.epochs.intervals import Interval
from gateway.settings import StrategySettings
from ledger.genesis import Parameters

PV, LOAD = b"p" * 8, b"l" * 8
LIMITS = {PV: MeterLimits(10_000, can_export=True), LOAD: MeterLimits(10_000, can_export=False)}
RULES = Parameters(epoch_s=900, min_order_wh=100)


def test_without_history_there_is_no_forecast_and_no_order() -> None:
    assert persist([]) is None
    assert plan_orders([], LIMITS, 7, StrategySettings(), RULES) == []


def test_the_newest_interval_weighs_most_and_a_gap_counts_per_epoch() -> None:
    history = [Interval(PV, 1, 2, 600, 0), Interval(PV, 3, 1, 600, 90)]
    assert persist(history) == Forecast(PV, 500, 60)


def test_a_register_that_ran_backwards_never_makes_a_negative_forecast() -> None:
    assert persist([Interval(PV, 1, 1, -600, -1)]) == Forecast(PV, 0, 0)


def test_an_order_below_the_minimum_is_not_placed() -> None:
    assert plan_orders([Forecast(LOAD, 99, 0)], LIMITS, 7, StrategySettings(), RULES) == []
    assert [
        plan.quantity_wh for plan in plan_orders([Forecast(LOAD, 100, 0)], LIMITS, 7, StrategySettings(), RULES)
    ] == [100]


def test_a_user_trades_one_side_only_and_never_sells_what_a_meter_may_not_export() -> None:
    sold = plan_orders([Forecast(PV, 0, 900), Forecast(LOAD, 400, 800)], LIMITS, 7, StrategySettings(), RULES)
    assert [(plan.function, plan.meter_id, plan.quantity_wh) for plan in sold] == [("create_sell_order", PV, 810)]
    bought = plan_orders([Forecast(PV, 0, 300), Forecast(LOAD, 400, 0)], LIMITS, 7, StrategySettings(), RULES)
    assert [(plan.function, plan.meter_id, plan.quantity_wh) for plan in bought] == [("create_buy_order", LOAD, 400)]


@given(st.integers(0, 2**32), st.integers(0, 500), st.integers(0, 500), st.integers(0, 10**6), st.integers(0, 2**31))
def test_prices_lie_between_the_tariffs_and_always_cross_up_to_half_margins(
    seed: int, seller_margin: int, buyer_margin: int, energy_wh: int, epoch: int
) -> None:
    sells = plan_orders([Forecast(PV, 0, energy_wh)], LIMITS, epoch, _strategy(seed, seller_margin), RULES)
    buys = plan_orders([Forecast(LOAD, energy_wh, 0)], LIMITS, epoch, _strategy(seed, buyer_margin), RULES)
    for plan in (*sells, *buys):
        assert RULES.feed_in_uaip_per_kwh <= plan.price_uaip_per_kwh <= RULES.retail_uaip_per_kwh
        assert RULES.min_order_wh <= plan.quantity_wh <= 10_000 * 900 // 3600
    if sells and buys:
        assert sells[0].price_uaip_per_kwh <= buys[0].price_uaip_per_kwh


PRICES = st.none() | st.just(Trade.NOTHING) | st.integers(0, 5_000_000)


@given(PRICES, PRICES, st.none() | st.integers(0, 100), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 999))
def test_no_order_oversteps_what_the_user_said_or_what_the_ledger_takes(
    sell: int | Trade | None, buy: int | Trade | None, keep: int | None, imported: int, exported: int, margin: int
) -> None:
    said = Instructions(sell, buy, keep)
    for plan in _plan(said, Forecast(PV, imported, exported), margin):
        assert RULES.feed_in_uaip_per_kwh <= plan.price_uaip_per_kwh <= RULES.retail_uaip_per_kwh
        assert RULES.min_order_wh <= plan.quantity_wh <= 10_000 * 900 // 3600
        limit = sell if plan.function == "create_sell_order" else buy
        assert limit is not Trade.NOTHING
        if plan.function == "create_sell_order":
            assert plan.quantity_wh * 100 <= exported * (100 - (10 if keep is None else keep))
            assert not isinstance(limit, int) or plan.price_uaip_per_kwh >= limit
        else:
            assert plan.quantity_wh <= imported
            assert not isinstance(limit, int) or plan.price_uaip_per_kwh <= limit


def test_a_limit_stricter_than_the_agents_own_price_is_the_price() -> None:
    said = parse(["sell surplus at 4.40 or more", "buy what is needed up to 2.50", "keep 20 %"])
    assert [(p.price_uaip_per_kwh, p.quantity_wh) for p in _plan(said, Forecast(PV, 0, 1000))] == [(4_400_000, 800)]
    assert [(p.price_uaip_per_kwh, p.quantity_wh) for p in _plan(said, Forecast(PV, 1000, 0))] == [(2_500_000, 1000)]


def test_a_limit_that_the_market_does_not_take_places_no_order() -> None:
    said = parse(["sell surplus at 4.500001 or more", "buy what is needed up to 0"])
    assert _plan(said, Forecast(PV, 0, 1000)) == []
    assert _plan(said, Forecast(PV, 1000, 0)) == []


def test_a_meter_that_may_not_sell_does_not_keep_the_others_from_buying() -> None:
    limits = {**LIMITS, PV: MeterLimits(10_000, can_export=True, instructions=parse(["sell nothing"]))}
    plans = plan_orders([Forecast(PV, 0, 900), Forecast(LOAD, 400, 0)], limits, 7, StrategySettings(), RULES)
    assert [(plan.function, plan.meter_id) for plan in plans] == [("create_buy_order", LOAD)]


def _plan(said: Instructions, expected: Forecast, margin: int = 150) -> list[OrderPlan]:
    limits = {PV: MeterLimits(10_000, can_export=True, instructions=said)}
    return plan_orders([expected], limits, 7, _strategy(1, margin), RULES)


def _strategy(seed: int, margin: int) -> StrategySettings:
    return StrategySettings(seed=seed, margin_permille=margin)
