"""The fast engine: a uniform-price call auction over int64 arrays, compiled once, without a sort.

A price p is too low exactly while the demand above p exceeds the supply up to p. Both sides of that comparison move
with every order that p passes, so it reads: the quantities of *all* orders, of either side, priced up to p sum to
less than the total demand. The lowest competitive price is therefore a weighted order statistic of the whole book,
the highest one is its neighbour, and both are found by zooming into a histogram of prices: O(orders), no sorting.

Integers only and no order of evaluation that matters: the same result on every processor.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit

from ledger.market.book import (
    MAX_PRICE_UAIP_PER_KWH,
    MAX_QUANTITY_WH,
    MIN_PRICE_UAIP_PER_KWH,
    BookArrays,
    BookError,
    Clearing,
    Id,
    Int64Array,
    Order,
    Rule,
    SelfTrade,
    admit,
    build_arrays,
    sort_by_sequence,
    split_sides,
)

# With MAX_QUANTITY_WH this keeps every sum of quantities below 2^52, which `_divide` relies on.
MAX_ARRAY_ORDERS: Final = 4_000_000

_BIN_BITS: Final = 11
_BINS: Final = 1 << _BIN_BITS
_QUANTITY_BITS: Final = 30  # MAX_QUANTITY_WH < 2^30
_DIGIT_BITS: Final = 10  # (2^52 << 10) + 2^10 x 2^52 <= 2^63
_DIGIT_MASK: Final = (1 << _DIGIT_BITS) - 1
_LIMB_BITS: Final = 32
_LIMB_MASK: Final = (1 << _LIMB_BITS) - 1

_CACHE_FAULTS: Final = (
    *(OSError, RuntimeError, EOFError, pickle.UnpicklingError),
    *(ValueError, LookupError, AttributeError, ImportError),  # what else pickle raises for damaged bytes
)

_log = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_SideArrays = tuple[Int64Array, Int64Array, int]  # prices, quantities, +1 where higher is better (bids) or -1 (asks)
_KernelResult = tuple[Int64Array, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class ArrayClearing:
    """What clears in a `BookArrays`: fills in the order of its entries; the rest as in `Clearing`."""

    matched_wh: int
    price_interval: tuple[int, int] | None
    fills_wh: Int64Array
    welfare: int


def clear(
    orders: Iterable[Order[Id]], *, rule: Rule = Rule.PRO_RATA, self_trade: SelfTrade = SelfTrade.PREVENT
) -> Clearing[Id]:
    """Admit *orders* to a book and clear it at one price: maximum welfare, then largest volume.

    Orders past a limit or crossing an earlier order of the same user are rejected with a reason, never raised for.
    Raises BookError when two orders share an id or a sequence number.
    """
    submitted = sort_by_sequence(orders)
    admission = admit(submitted, self_trade)
    bids, asks = split_sides(admission.live)
    cleared = clear_arrays(build_arrays(bids, asks), rule)
    bought, sold = cleared.fills_wh[: len(bids)], cleared.fills_wh[len(bids) :]
    assert bought.sum() == sold.sum() == cleared.matched_wh, "a clearing neither makes nor loses energy"
    fills = dict.fromkeys((order.order_id for order in submitted), 0)
    fills.update(zip((order.order_id for order in [*bids, *asks]), cleared.fills_wh.tolist(), strict=True))
    return Clearing(cleared.matched_wh, cleared.price_interval, fills, admission.rejected, cleared.welfare)


def clear_arrays(book: BookArrays, rule: Rule) -> ArrayClearing:
    """Clear *book*; raises BookError when its arrays do not fit together or leave the limits of price and quantity."""
    _check_arrays(book)
    prices = np.require(book.prices, requirements=["C", "W"])
    quantities = np.require(book.quantities, requirements=["C", "W"])
    pro_rata = rule is Rule.PRO_RATA
    fills, matched_wh, low, high, welfare_high, welfare_low = _clear(prices, quantities, book.bid_count, pro_rata)
    interval = (low, high) if matched_wh else None
    return ArrayClearing(matched_wh, interval, fills, (welfare_high << _LIMB_BITS) + welfare_low)


def warm() -> None:
    """Clear one tiny book, so that no block waits for the loader: importing this module has compiled the kernel."""
    book = BookArrays(np.array([2, 2, 1], np.int64), np.array([1, 1, 1], np.int64), 2)
    for rule in Rule:
        clear_arrays(book, rule)


def _check_arrays(book: BookArrays) -> None:
    for name, values in (("prices", book.prices), ("quantities", book.quantities)):
        if values.dtype != np.int64 or values.ndim != 1:
            raise BookError(
                f"{name} must be a one-dimensional int64 array, not {values.ndim}-dimensional {values.dtype}"
            )
    count = len(book.prices)
    if len(book.quantities) != count or not 0 <= book.bid_count <= count <= MAX_ARRAY_ORDERS:
        raise BookError(
            f"{count} prices, {len(book.quantities)} quantities and {book.bid_count} bids are no book of at most "
            f"{MAX_ARRAY_ORDERS} orders"
        )
    _check_range("prices", book.prices, MIN_PRICE_UAIP_PER_KWH, MAX_PRICE_UAIP_PER_KWH)
    _check_range("quantities", book.quantities, 0, MAX_QUANTITY_WH)


def _check_range(name: str, values: Int64Array, lowest: int, highest: int) -> None:
    if len(values) and not (lowest <= values.min() and values.max() <= highest):
        raise BookError(f"{name} run from {values.min()} to {values.max()}, outside {lowest} to {highest}")


def _inner(function: _Function) -> _Function:
    """Mark a part of the kernel: compiled only together with the kernel, never on its own."""
    return cast("_Function", njit(function))


def _kernel(signature: str) -> Callable[[_Function], _Function]:
    """Compile at import for *signature*, or load from numba's cache of an earlier start."""

    def compile_now(function: _Function) -> _Function:
        try:
            return cast("_Function", njit(signature, cache=True)(function))
        except _CACHE_FAULTS as fault:
            # No writable cache directory, a full disk, a file torn by a power cut: slower to start, otherwise the same.
            _log.warning("%s is compiled without numba's cache, see __pycache__: %r", function.__name__, fault)
            return cast("_Function", njit(signature)(function))

    return compile_now


@_inner
def _bit_length(value: int) -> int:
    bits = 0
    while value >> bits:
        bits += 1
    return bits


@_inner
def _tally(values: Int64Array, weights: Int64Array, low: int, shift: int, bins: Int64Array) -> None:
    """Sum the weights of values in [low, low + (_BINS << shift)) into bins of width 2^shift."""
    bins[:] = 0
    for i in range(len(values)):
        position = (values[i] - low) >> shift
        if 0 <= position < _BINS:
            bins[position] += weights[i]


@_inner
def _select(values: Int64Array, weights: Int64Array, target: int) -> tuple[int, int]:
    """Return the smallest value v at which the weights of all values <= v sum to *target* or more, and that sum.

    Needs 1 <= target <= the sum of all weights, and weights >= 0.
    """
    low = int(values.min())
    shift = max(0, _bit_length(int(values.max()) - low) - _BIN_BITS)
    bins = np.empty(_BINS, np.int64)
    below = 0
    while True:
        _tally(values, weights, low, shift, bins)
        position = 0
        while below + bins[position] < target:
            below += bins[position]
            position += 1
        low += position << shift
        if shift == 0:
            return low, below + bins[position]
        shift = max(0, shift - _BIN_BITS)


@_inner
def _divide(quantity: int, left: int, total: int) -> tuple[int, int]:
    """Return quantity x left divided by total, and the remainder.

    The product reaches 10^22, so it is never formed: schoolbook long division takes quantity digit by digit.
    Needs quantity < 2^30 and left <= total < 2^52.
    """
    quotient = 0
    remainder = 0
    for shift in range(_QUANTITY_BITS - _DIGIT_BITS, -1, -_DIGIT_BITS):
        digit = (quantity >> shift) & _DIGIT_MASK
        part = (remainder << _DIGIT_BITS) + digit * left
        step = part // total
        remainder = part - step * total
        quotient = (quotient << _DIGIT_BITS) + step
    return quotient, remainder


@_inner
def _share_pro_rata(quantities: Int64Array, left: int, total: int) -> Int64Array:
    """Return floor(quantity x left / total) each, and the leftovers by largest remainder, ties to the earlier."""
    shares = np.empty_like(quantities)
    remainders = np.empty_like(quantities)
    for i in range(len(quantities)):
        shares[i], remainders[i] = _divide(quantities[i], left, total)
    spare = left - int(shares.sum())
    if spare > 0:
        _hand_out(shares, remainders, spare)
    return shares


@_inner
def _hand_out(shares: Int64Array, remainders: Int64Array, spare: int) -> None:
    """Add 1 to the *spare* shares of largest remainder, ties to the earlier; 0 < spare < the number of shares."""
    count = len(remainders)
    threshold, up_to = _select(remainders, np.ones(count, np.int64), count - spare + 1)
    ties = spare - (count - up_to)
    for i in range(count):
        if remainders[i] > threshold:
            shares[i] += 1
        elif remainders[i] == threshold and ties > 0:
            shares[i] += 1
            ties -= 1


@_inner
def _share_by_time(quantities: Int64Array, left: int) -> Int64Array:
    shares = np.empty_like(quantities)
    for i in range(len(quantities)):
        shares[i] = min(quantities[i], left)
        left -= shares[i]
    return shares


@_inner
def _fill_side(side: _SideArrays, margin: int, matched: int, pro_rata: bool, fills: Int64Array) -> None:
    """Write the fills of one side: better than *margin* whole, at it in shares of what is left, worse 0."""
    prices, quantities, sign = side
    left = matched
    for i in range(len(prices)):
        fills[i] = quantities[i] if (prices[i] - margin) * sign > 0 else 0
        left -= fills[i]
    if left > 0:
        level = np.flatnonzero(prices == margin)
        offered = quantities[level]
        fills[level] = _share_pro_rata(offered, left, int(offered.sum())) if pro_rata else _share_by_time(offered, left)


@_inner
def _sum_at_or_better(side: _SideArrays, margin: int) -> int:
    prices, quantities, sign = side
    total = 0
    for i in range(len(prices)):
        total += quantities[i] if (prices[i] - margin) * sign >= 0 else 0
    return total


@_inner
def _measure_value(prices: Int64Array, fills: Int64Array) -> tuple[int, int]:
    """Return the sum of price x fill in two limbs, high x 2^32 + low: one product fits int64, their sum need not."""
    high = 0
    low = 0
    for i in range(len(prices)):
        product = prices[i] * fills[i]
        high += product >> _LIMB_BITS
        low += product & _LIMB_MASK
    return high, low


@_kernel("Tuple((int64[::1], int64, int64, int64, int64, int64))(int64[::1], int64[::1], int64, boolean)")
def _clear(prices: Int64Array, quantities: Int64Array, bid_count: int, pro_rata: bool) -> _KernelResult:
    """Return fills, matched Wh, lowest and highest competitive price, and welfare in two limbs; 0s without a trade."""
    fills = np.zeros(len(prices), np.int64)
    bids = (prices[:bid_count], quantities[:bid_count], 1)
    asks = (prices[bid_count:], quantities[bid_count:], -1)
    demand = int(bids[1].sum())
    if demand == 0 or asks[1].sum() == 0:
        return fills, 0, 0, 0, 0, 0
    low, reached = _select(prices, quantities, demand)
    matched = min(_sum_at_or_better(bids, low), _sum_at_or_better(asks, low))
    if matched == 0:
        return fills, 0, 0, 0, 0, 0
    high = low if reached > demand else _select(prices, quantities, demand + 1)[0]
    _fill_side(bids, low, matched, pro_rata, fills[:bid_count])
    _fill_side(asks, low, matched, pro_rata, fills[bid_count:])
    bid_high, bid_low = _measure_value(bids[0], fills[:bid_count])
    ask_high, ask_low = _measure_value(asks[0], fills[bid_count:])
    return fills, matched, low, high, bid_high - ask_high, bid_low - ask_low
