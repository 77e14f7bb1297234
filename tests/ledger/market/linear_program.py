"""A book as a linear program: what a general solver (scipy's HiGHS) finds, to hold our clearing against.

Maximise the bought value less the sold value, subject to bought = sold. The dual of that one equation is the price.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from ledger.market.book import Clearing, Order, Side
from tests.ledger.market.books import number


@dataclass(frozen=True, slots=True)
class Optimum:
    """Welfare in Wh x µAIP per kWh, exactly; the solver's dual price in µAIP per kWh."""

    welfare: int
    price: float


def solve(orders: Sequence[Order[str]]) -> Optimum:
    """Return the optimum of a book that is not empty.

    The program's corners are whole numbers, and simplex ends in one: rounding drops only the solver's floating error,
    so that the welfare is formed from whole fills in Python integers.
    """
    signs = np.array([1 if order.side is Side.BUY else -1 for order in orders])
    prices = np.array([order.price_uaip_per_kwh for order in orders])
    bounds = [(0, order.quantity_wh) for order in orders]
    found = linprog(-signs * prices, A_eq=[signs], b_eq=[0], bounds=bounds, method="highs-ds")
    assert found.status == 0, found.message
    fills = [round(fill) for fill in found.x]
    assert all(0 <= fill <= order.quantity_wh for fill, order in zip(fills, orders, strict=True))
    assert sum(int(sign) * fill for sign, fill in zip(signs, fills, strict=True)) == 0
    welfare = sum(int(sign * price) * fill for sign, price, fill in zip(signs, prices, fills, strict=True))
    return Optimum(welfare, -found.eqlin.marginals[0])


def find_disagreement(orders: Sequence[Order[str]], cleared: Clearing[str]) -> str:
    """Return how *cleared* differs from the optimum of *orders*, which must not cross within one user; else nothing."""
    if not orders:
        return "" if cleared.welfare == cleared.matched_wh == 0 else "an empty book trades"
    optimum = solve(orders)
    if cleared.welfare != optimum.welfare:
        return f"welfare {cleared.welfare}, the solver's {optimum.welfare}"
    if cleared.price_interval is None:
        return "" if optimum.welfare == 0 else "nothing trades, though it would gain"
    low, high = cleared.price_interval
    return "" if low <= round(optimum.price) <= high else f"the dual {optimum.price} lies outside {low} to {high}"


def draw_book(seed: int) -> list[Order[str]]:
    """Return the random book of *seed*: up to 200 orders, from tied prices and small quantities to both maxima."""
    rng = random.Random(seed)
    lowest, highest = rng.choice([(0, 6), (80_000, 80_400), (2_200_000, 4_500_000), (0, 10**9)])
    most_wh = rng.choice([9, 10_000, 10**9])
    entries = [
        (rng.choice(list(Side)), rng.randint(lowest, highest), rng.randint(0, most_wh))
        for _ in range(rng.randint(0, rng.choice([8, 200])))
    ]
    return number(entries)
