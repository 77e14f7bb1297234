"""Order books for the tests: the shared cases, and Hypothesis strategies for random ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ledger.market.book import MAX_PRICE_UAIP_PER_KWH, MAX_QUANTITY_WH, Order, Side

CASES_FILE = Path(__file__).parents[2] / "data" / "clearing-cases.json"
CASES: list[dict[str, Any]] = json.loads(CASES_FILE.read_text(encoding="utf-8"))["cases"]

tied_prices = st.integers(0, 6)
all_prices = st.integers(0, MAX_PRICE_UAIP_PER_KWH)
tariff_prices = st.integers(80_000, 80_400) | st.integers(80_000, 250_000)
small_quantities = st.integers(0, 9)
all_quantities = st.integers(0, MAX_QUANTITY_WH) | st.sampled_from([MAX_QUANTITY_WH, MAX_QUANTITY_WH - 1, 0, 1])


def read_orders(case: dict[str, Any]) -> list[Order[str]]:
    """Return the orders of a shared case."""
    return [
        Order(entry["id"], entry["user"], Side(entry["side"]), entry["price"], entry["qty"], entry["seq"])
        for entry in case["orders"]
    ]


def number(entries: Sequence[tuple[Side, int, int]], users: int | None = None) -> list[Order[str]]:
    """Return orders of (side, price, quantity), in sequence, each of its own user or dealt out to *users* of them."""
    return [
        Order(f"o{place}", f"u{place if users is None else place % users}", side, price, quantity, place)
        for place, (side, price, quantity) in enumerate(entries)
    ]


def draw_books(
    prices: st.SearchStrategy[int], quantities: st.SearchStrategy[int], max_size: int = 40, users: int | None = None
) -> st.SearchStrategy[list[Order[str]]]:
    """Draw books of up to *max_size* orders."""
    entries = st.tuples(st.sampled_from(Side), prices, quantities)
    return st.lists(entries, max_size=max_size).map(lambda drawn: number(drawn, users))


any_books = st.one_of(
    draw_books(tied_prices, small_quantities),
    draw_books(tied_prices, all_quantities),
    draw_books(tariff_prices, all_quantities),
    draw_books(all_prices, all_quantities),
    draw_books(tied_prices, small_quantities, users=3),
)
