"""How fast a book clears, against numpy doing no more than sorting and summing the same arrays in the same run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from ledger.market.book import MAX_ORDERS_PER_EPOCH, BookArrays, Order, Rule, SelfTrade, Side
from ledger.market.clearing import clear, clear_arrays, warm
from tests.bench.measure import Row, at_most

SIZES = {"1e4": (10**4, 101), "1e5": (10**5, 31), "1e6": (10**6, 11)}  # orders, runs
RATIO_BAR = 1.0
FIRST_BAR = 1.5  # one run each, so with room for the machine's other work


def measure() -> Iterator[Row]:
    """Time the first clearing of this process against the second, then each size against numpy."""
    yield at_most("market.first_clear_ratio", round(_compare_first_with_second(), 3), "first/second", FIRST_BAR)
    for label, (count, runs) in SIZES.items():
        yield at_most(
            f"market.clear_{label}_ratio", round(_compare_with_numpy(count, runs), 3), "ours/numpy", RATIO_BAR
        )


def _compare_first_with_second() -> float:
    warm()
    book = _draw_book(MAX_ORDERS_PER_EPOCH)
    entries = zip(book.prices.tolist(), book.quantities.tolist(), strict=True)
    orders = [
        Order(str(i), str(i), Side.BUY if i < book.bid_count else Side.SELL, price, quantity, i)
        for i, (price, quantity) in enumerate(entries)
    ]
    gc.collect()  # what start-up left behind is collected some time; it is neither run's cost
    first_s = _time_s(lambda: clear(orders, self_trade=SelfTrade.ALLOW))
    return first_s / _time_s(lambda: clear(orders, self_trade=SelfTrade.ALLOW))


def _compare_with_numpy(count: int, runs: int) -> float:
    """Return the ratio of medians of alternating runs, so that a busy spell of the machine meets both."""
    book = _draw_book(count)
    ours_s, numpy_s = [], []
    for _ in range(runs):
        numpy_s.append(_time_s(lambda: _sort_and_sum(book)))
        ours_s.append(_time_s(lambda: clear_arrays(book, Rule.PRO_RATA)))
    return median(ours_s) / median(numpy_s)


def _draw_book(count: int) -> BookArrays:
    """Return half bids, half asks, priced between a feed-in and a retail tariff."""
    random = np.random.default_rng(6)
    return BookArrays(random.integers(80_000, 250_000, count), random.integers(100, 10_000, count), count // 2)


def _sort_and_sum(book: BookArrays) -> None:
    for side in (slice(None, book.bid_count), slice(book.bid_count, None)):
        order = np.argsort(book.prices[side], kind="stable")
        np.cumsum(book.quantities[side][order])


def _time_s(run: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    run()
    return time.perf_counter() - start_s
