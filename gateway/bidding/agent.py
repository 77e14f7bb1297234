"""What an agent bids for one user: which side, how much, at what price. Pure, seeded, integers only.

Side. A user's own orders must not cross each other, so an agent trades one side an epoch: it sells what all the
user's meters export if that is more than what they import, else it buys what they import.

Quantity. Nine tenths of the forecast when selling (`keep` says otherwise), for what is sold and not delivered costs a
penalty; all of it when buying, for what is bought and not consumed is merely resold. An order below the market's
minimum is not placed.

Price. Every price between feed-in and retail is better than the grid for both sides. A seller asks feed-in plus up
to `margin_permille` of the spread, a buyer bids retail minus up to `margin_permille` of it, drawn anew for each
meter and epoch: agents with margins up to a half always cross. A meter's instructions bound that price; where they
leave none that the market takes, no order is placed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.bidding.forecast import Forecast
from gateway.bidding.instructions import Instructions, Trade
from gateway.settings import StrategySettings
from ledger.genesis import Parameters

KEPT_PERCENT: Final = 10
NOTHING_SAID: Final = Instructions()
SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class MeterLimits:
    """What bounds a meter's orders: rated power in W, whether it may sell, and what its user said."""

    rated_power_w: int
    can_export: bool
    instructions: Instructions = NOTHING_SAID

    @property
    def may_sell(self) -> bool:
        """Tell whether it may sell at all."""
        return self.can_export and self.instructions.sell is not Trade.NOTHING

    @property
    def may_buy(self) -> bool:
        """Tell whether it may buy at all."""
        return self.instructions.buy is not Trade.NOTHING

    def share_sold(self, expected_wh: int) -> int:
        """Return how much is offered of a surplus of *expected_wh*."""
        keep = self.instructions.keep
        return expected_wh * (100 - (KEPT_PERCENT if keep is None else keep)) // 100


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order to place: `function` is the market's call, quantity in Wh, price in µAIP per kWh."""

    function: str
    meter_id: bytes
    epoch: int
    price_uaip_per_kwh: int
    quantity_wh: int


def plan_orders(
    forecasts: Sequence[Forecast],
    limits: Mapping[bytes, MeterLimits],
    epoch: int,
    strategy: StrategySettings,
    parameters: Parameters,
) -> list[OrderPlan]:
    """Return the orders of one user for *epoch*, from the *forecasts* of the user's meters."""
    exported = {f.meter_id: f.export_wh for f in forecasts if limits[f.meter_id].may_sell}
    imported = {f.meter_id: f.import_wh for f in forecasts if limits[f.meter_id].may_buy}
    is_selling = sum(exported.values()) > sum(imported.values())
    wanted = {m: limits[m].share_sold(wh) for m, wh in exported.items()} if is_selling else imported
    plans = []
    for meter_id, expected_wh in sorted(wanted.items()):
        rated_wh = limits[meter_id].rated_power_w * parameters.epoch_s // SECONDS_PER_HOUR
        quantity_wh = min(expected_wh, rated_wh, parameters.max_order_wh)
        drawn = _price(is_selling, meter_id, epoch, strategy, parameters)
        price = _bound(drawn, is_selling, limits[meter_id].instructions)
        is_taken = parameters.feed_in_uaip_per_kwh <= price <= parameters.retail_uaip_per_kwh
        if is_taken and quantity_wh >= max(1, parameters.min_order_wh):
            function = "create_sell_order" if is_selling else "create_buy_order"
            plans.append(OrderPlan(function, meter_id, epoch, price, quantity_wh))
    return plans


def _bound(price: int, is_selling: bool, instructions: Instructions) -> int:
    """Return *price*, or the user's own limit where that is stricter."""
    limit = instructions.sell if is_selling else instructions.buy
    if not isinstance(limit, int):
        return price
    return max(price, limit) if is_selling else min(price, limit)


def _price(is_selling: bool, meter_id: bytes, epoch: int, strategy: StrategySettings, parameters: Parameters) -> int:
    spread = parameters.retail_uaip_per_kwh - parameters.feed_in_uaip_per_kwh
    step = spread * _draw(strategy.seed, meter_id, epoch, strategy.margin_permille) // 1000
    return parameters.feed_in_uaip_per_kwh + step if is_selling else parameters.retail_uaip_per_kwh - step


def _draw(seed: int, meter_id: bytes, epoch: int, highest: int) -> int:
    """Return a number from 0 to *highest* that a restarted agent draws again."""
    digest = hashlib.sha256(f"{seed}:{meter_id.hex()}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:8]) % (highest + 1)
