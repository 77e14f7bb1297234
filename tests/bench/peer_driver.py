"""Runs another market engine, in an environment of its own: books in on stdin, times and fills out on stdout.

Started as a script by `market_peers`; imports nothing of ours, for the environment holds nothing of ours.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from datetime import datetime, timedelta
from typing import Any

Orders = list[dict[str, Any]]


def run_pymarket(orders: Orders, mechanism: str) -> tuple[float, list[int]]:
    """Return the seconds that clearing took, and the fills; an order is its own user."""
    import pymarket

    market = pymarket.Market()
    for place, order in enumerate(orders):
        market.accept_bid(order["qty"], order["price"], place, order["side"] == "buy")
    start_s = time.perf_counter()
    transactions, _ = market.run(mechanism)
    spent_s = time.perf_counter() - start_s
    fills = [0] * len(orders)
    for bid, quantity in transactions.get_df()[["bid", "quantity"]].itertuples(index=False):
        fills[int(bid)] += int(quantity)
    return spent_s, fills


def run_assume(orders: Orders, mechanism: str) -> tuple[float, list[int]]:
    """Return the seconds that clearing took, and the fills; it calls volumes of demand negative."""
    from assume.common.market_objects import MarketConfig, MarketProduct
    from assume.markets.clearing_algorithms.simple import PayAsClearRole
    from dateutil import rrule

    start, hour = datetime(2020, 1, 1), timedelta(hours=1)  # noqa: DTZ001 - it takes naive times
    config = MarketConfig(
        market_id="campus", market_products=[MarketProduct(hour, 1, hour)], opening_duration=hour,
        opening_hours=rrule.rrule(rrule.HOURLY, dtstart=start, until=start + 24 * hour), market_mechanism=mechanism,
        maximum_bid_price=1e9, minimum_bid_price=0, maximum_bid_volume=1e19,
    )  # fmt: skip
    book = [
        {
            "start_time": start, "end_time": start + hour, "price": order["price"], "agent_addr": str(place),
            "volume": -order["qty"] if order["side"] == "buy" else order["qty"], "bid_id": str(place),
            "only_hours": None, "node": 0,
        }
        for place, order in enumerate(orders)
    ]  # fmt: skip
    begun_s = time.perf_counter()
    accepted, _, _, _ = PayAsClearRole(config).clear(book, [(start, start + hour, None)])
    spent_s = time.perf_counter() - begun_s
    fills = [0] * len(orders)
    for order in accepted:
        fills[int(order["bid_id"])] = abs(int(order["accepted_volume"]))
    return spent_s, fills


RUNNERS = {"pymarket": run_pymarket, "assume": run_assume}


def main(engine: str, mechanism: str) -> None:
    """Answer each book, one a line, with `[seconds, fills]`, or with the text of what it stumbled over."""
    warnings.simplefilter("ignore")
    logging.disable()
    for line in sys.stdin:
        try:
            answer: Any = RUNNERS[engine](json.loads(line), mechanism)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"[:200]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
