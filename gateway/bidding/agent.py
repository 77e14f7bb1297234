"""What an agent bids for one user: which side, how much, at what price. Pure, seeded, integers only.

Side. A user's own orders must not cross each other, so an agent trades one side an epoch: it sells what all the
user's meters export if that is more than what they import, else it buys what they import.

Quantity. Nine tenths of the forecast when selling, for what is sold and not delivered costs a penalty; all of it
when buying, for what is bought and not consumed is merely resold. An order below the market's minimum is not placed.

Price. Every price between feed-in and retail is better than the grid for both sides. A seller asks feed-in plus up
to `margin_permille` of the spread, a buyer bids retail minus up to `margin_permille` of it, drawn anew for each
meter and epoch: agents with margins up to a half always cross.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.bidding.forecast import Forecast
from gateway.settings import StrategySettings
from ledger.genesis import Parameters

SOLD_PERMILLE: Final = 900
SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class MeterLimits:
    """What bounds a meter's orders: rated power in W, and whether it may sell."""

    rated_power_w: int
    can_export: bool


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
    exported = {f.meter_id: f.export_wh for f in forecasts if limits[f.meter_id].can_export}
    imported = {f.meter_id: f.import_wh for f in forecasts}
    is_selling = sum(exported.values()) > sum(imported.values())
    wanted = {m: wh * SOLD_PERMILLE // 1000 for m, wh in exported.items()} if is_selling else imported
    plans = []
    for meter_id, expected_wh in sorted(wanted.items()):
        rated_wh = limits[meter_id].rated_power_w * parameters.epoch_s // SECONDS_PER_HOUR
        quantity_wh = min(expected_wh, rated_wh, parameters.max_order_wh)
        if quantity_wh >= max(1, parameters.min_order_wh):
            price = _price(is_selling, meter_id, epoch, strategy, parameters)
            function = "create_sell_order" if is_selling else "create_buy_order"
            plans.append(OrderPlan(function, meter_id, epoch, price, quantity_wh))
    return plans


def _price(is_selling: bool, meter_id: bytes, epoch: int, strategy: StrategySettings, parameters: Parameters) -> int:
    spread = parameters.retail_uaip_per_kwh - parameters.feed_in_uaip_per_kwh
    step = spread * _draw(strategy.seed, meter_id, epoch, strategy.margin_permille) // 1000
    return parameters.feed_in_uaip_per_kwh + step if is_selling else parameters.retail_uaip_per_kwh - step


def _draw(seed: int, meter_id: bytes, epoch: int, highest: int) -> int:
    """Return a number from 0 to *highest* that a restarted agent draws again."""
    digest = hashlib.sha256(f"{seed}:{meter_id.hex()}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:8]) % (highest + 1)
