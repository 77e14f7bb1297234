"""The order book's words: orders, the limits on entry, and what a clearing says.

Quantities are integer Wh, prices integer µAIP per kWh, welfare their product (10^-9 AIP).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ledger.errors import LedgerError

MAX_ORDERS_PER_EPOCH: Final = 10_000
MAX_ORDERS_PER_USER: Final = 100
MIN_QUANTITY_WH: Final = 100
MAX_QUANTITY_WH: Final = 10**9
MIN_PRICE_UAIP_PER_KWH: Final = 0
MAX_PRICE_UAIP_PER_KWH: Final = 10**9

Int64Array = npt.NDArray[np.int64]
Id = TypeVar("Id", bound=Hashable)


class BookError(LedgerError):
    """A set of orders that is no book: two orders share an id or a place in the sequence, or arrays do not fit."""


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"


class Rule(StrEnum):
    """How orders at the marginal price share what is left for them."""

    PRO_RATA = "pro-rata"
    PRICE_TIME = "price-time"


class SelfTrade(StrEnum):
    """What happens to an order that crosses a live order of the same user: the newer is rejected, or both stand."""

    PREVENT = "prevent"
    ALLOW = "allow"


class Reason(StrEnum):
    """Why an order did not enter the book."""

    QUANTITY_BELOW_MINIMUM = "quantity-below-minimum"
    QUANTITY_ABOVE_MAXIMUM = "quantity-above-maximum"
    PRICE_BELOW_MINIMUM = "price-below-minimum"
    PRICE_ABOVE_MAXIMUM = "price-above-maximum"
    TOO_MANY_ORDERS = "too-many-orders"
    TOO_MANY_ORDERS_OF_USER = "too-many-orders-of-user"
    SELF_TRADE = "self-trade"


@dataclass(frozen=True, slots=True)
class Order(Generic[Id]):
    """One user's wish to buy at most at, or sell at least at, a limit price; `sequence` is its place in time."""

    order_id: Id
    user: Id
    side: Side
    price_uaip_per_kwh: int
    quantity_wh: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Rejection(Generic[Id]):
    """An order that did not enter the book, and why."""

    order_id: Id
    reason: Reason


@dataclass(frozen=True, slots=True)
class Admission(Generic[Id]):
    """The orders that form the book and those that do not, each in sequence order."""

    live: tuple[Order[Id], ...]
    rejected: tuple[Rejection[Id], ...]


@dataclass(frozen=True, slots=True)
class Clearing(Generic[Id]):
    """The result of one call auction.

    `price_interval` holds the lowest and the highest competitive price, `price_uaip_per_kwh` their midpoint rounded
    down; both are None when nothing trades. `fills_wh` names every order, rejected ones (0) included, in sequence
    order. `welfare` is the bought value less the sold value at limit prices, in Wh x µAIP per kWh = 10^-9 AIP.
    """

    matched_wh: int
    price_interval: tuple[int, int] | None
    fills_wh: Mapping[Id, int]
    rejected: tuple[Rejection[Id], ...]
    welfare: int

    @property
    def price_uaip_per_kwh(self) -> int | None:
        """The one price of all trades: the midpoint of the interval, rounded down."""
        return None if self.price_interval is None else sum(self.price_interval) // 2


@dataclass(frozen=True, slots=True)
class BookArrays:
    """A book as int64 arrays: the first `bid_count` entries are buy orders, the rest sell orders, each in sequence."""

    prices: Int64Array
    quantities: Int64Array
    bid_count: int


@dataclass(slots=True)
class _Holdings:
    """What one user already has in the book."""

    orders: int = 0
    best_bid: int | None = None
    best_ask: int | None = None

    def crosses(self, order: Order[Id]) -> bool:
        if order.side is Side.BUY:
            return self.best_ask is not None and order.price_uaip_per_kwh >= self.best_ask
        return self.best_bid is not None and order.price_uaip_per_kwh <= self.best_bid

    def add(self, order: Order[Id]) -> None:
        self.orders += 1
        price = order.price_uaip_per_kwh
        if order.quantity_wh == 0:
            return  # nothing of it can trade, so nothing can cross it
        if order.side is Side.BUY:
            self.best_bid = price if self.best_bid is None else max(price, self.best_bid)
        else:
            self.best_ask = price if self.best_ask is None else min(price, self.best_ask)


@dataclass(slots=True)
class _Entrance(Generic[Id]):
    """The book as it fills, order by order."""

    self_trade: SelfTrade
    live: list[Order[Id]] = field(default_factory=list)
    users: dict[Id, _Holdings] = field(default_factory=dict)

    def enter(self, order: Order[Id]) -> Reason | None:
        holdings = self.users.setdefault(order.user, _Holdings())
        reason = check_limits(order) or self._check_book(order, holdings)
        if reason is None:
            holdings.add(order)
            self.live.append(order)
        return reason

    def _check_book(self, order: Order[Id], holdings: _Holdings) -> Reason | None:
        if len(self.live) >= MAX_ORDERS_PER_EPOCH:
            return Reason.TOO_MANY_ORDERS
        if holdings.orders >= MAX_ORDERS_PER_USER:
            return Reason.TOO_MANY_ORDERS_OF_USER
        if self.self_trade is SelfTrade.PREVENT and order.quantity_wh > 0 and holdings.crosses(order):
            return Reason.SELF_TRADE
        return None


def check_limits(order: Order[Id]) -> Reason | None:
    """Tell which limit of price or quantity *order* breaks, if any.

    Quantity 0 is inside: it fills 0 and sets no price. MIN_QUANTITY_WH is a rule of the ledger, not of the engine.
    """
    if order.quantity_wh < 0:
        return Reason.QUANTITY_BELOW_MINIMUM
    if order.quantity_wh > MAX_QUANTITY_WH:
        return Reason.QUANTITY_ABOVE_MAXIMUM
    if order.price_uaip_per_kwh < MIN_PRICE_UAIP_PER_KWH:
        return Reason.PRICE_BELOW_MINIMUM
    if order.price_uaip_per_kwh > MAX_PRICE_UAIP_PER_KWH:
        return Reason.PRICE_ABOVE_MAXIMUM
    return None


def admit(orders: Iterable[Order[Id]], self_trade: SelfTrade) -> Admission[Id]:
    """Let *orders* into the book in sequence order; an order that breaks a limit or self-trades is rejected whole.

    Raises BookError when two orders share an id or a sequence number: then no order of them would be fair.
    """
    entrance: _Entrance[Id] = _Entrance(self_trade)
    rejected: list[Rejection[Id]] = []
    for order in sort_by_sequence(orders):
        reason = entrance.enter(order)
        if reason is not None:
            rejected.append(Rejection(order.order_id, reason))
    return Admission(tuple(entrance.live), tuple(rejected))


def sort_by_sequence(orders: Iterable[Order[Id]]) -> list[Order[Id]]:
    """Return *orders* in sequence order; raises BookError for a shared id or sequence number."""
    ordered = sorted(orders, key=_get_sequence)
    if len({order.order_id for order in ordered}) != len(ordered):
        names = Counter(order.order_id for order in ordered)
        raise BookError(f"order id {names.most_common(1)[0][0]!r:.60} is used twice; give every order its own")
    for before, order in pairwise(ordered):
        if before.sequence == order.sequence:
            raise BookError(
                f"orders {before.order_id!r:.60} and {order.order_id!r:.60} share sequence {order.sequence}; "
                "give every order its own"
            )
    return ordered


def _get_sequence(order: Order[Id]) -> int:
    return order.sequence


def split_sides(orders: Iterable[Order[Id]]) -> tuple[list[Order[Id]], list[Order[Id]]]:
    """Return the buy orders and the sell orders, each in the order given."""
    bids: list[Order[Id]] = []
    asks: list[Order[Id]] = []
    for order in orders:
        (bids if order.side is Side.BUY else asks).append(order)
    return bids, asks


def build_arrays(bids: Sequence[Order[Id]], asks: Sequence[Order[Id]]) -> BookArrays:
    """Return the arrays of *bids* and *asks*, each already in sequence order and within the limits."""
    orders = [*bids, *asks]
    prices = np.array([order.price_uaip_per_kwh for order in orders], dtype=np.int64)
    quantities = np.array([order.quantity_wh for order in orders], dtype=np.int64)
    return BookArrays(prices, quantities, len(bids))
