"""How many random books clear as a linear program has it: welfare to the last unit, its dual inside the interval."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.market.clearing import clear
from tests.bench.measure import Row, at_most
from tests.ledger.market.linear_program import draw_book, find_disagreement

BOOKS = 2_500


def measure() -> Iterator[Row]:
    """Clear each book and solve it; a disagreement names the book's seed."""
    wrong = 0
    for seed in range(BOOKS):
        orders = draw_book(seed)
        disagreement = find_disagreement(orders, clear(orders))
        if disagreement:
            wrong += 1
            print(f"book {seed}: {disagreement}")
    yield at_most("market_lp.disagreements", wrong, f"of {BOOKS} books", 0)
