"""What the replayed days came to, for each user and for all: integers, except shares in permille."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hil.replay.campus import EPOCH_S, PlayedEpoch
from ledger.genesis import Parameters
from ledger.market.book import Side
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.market.tables import AAIP_PER_PRICE_WH
from ledger.records import SettlementLine


@dataclass
class UserResult:
    """One user's days. Amounts in aAIP; a bill is what the user pays, order fees included, negative where paid out.

    `self_use_wh`: what the user's own meters exported while others of theirs imported. `community_wh`: what the user
    bought, received and used. `grid_only_aaip`: the bill for the same energy without a market.
    """

    name: str
    import_wh: int = 0
    export_wh: int = 0
    self_use_wh: int = 0
    community_wh: int = 0
    delivered_wh: int = 0
    bill_aaip: int = 0
    grid_only_aaip: int = 0

    @property
    def self_consumption_permille(self) -> int:
        """The part of the user's own export that the user used at the same time."""
        return _permille(self.self_use_wh, self.export_wh)

    @property
    def community_permille(self) -> int:
        """The part of the user's import that came from the community."""
        return _permille(self.community_wh, self.import_wh)

    @property
    def saved_aaip(self) -> int:
        """What the market was worth to the user."""
        return self.grid_only_aaip - self.bill_aaip

    def as_json(self) -> dict[str, Any]:
        """Return the fields and the figures made of them; amounts as digits, as in the ledger's API."""
        values = asdict(self) | {
            "self_consumption_permille": self.self_consumption_permille,
            "community_permille": self.community_permille,
            "saved_aaip": self.saved_aaip,
        }
        return {name: str(value) if name.endswith("_aaip") else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Results:
    """All users in the order of the plan, and the market: welfare in 10^-9 AIP at the orders' limit prices."""

    users: tuple[UserResult, ...]
    epochs: int
    traded_epochs: int
    orders: int
    matched_wh: int
    welfare: int
    lowest_price: int | None
    highest_price: int | None
    mean_price: int | None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it; prices in µAIP per kWh, the mean weighted by what was traded."""
        market = {
            name: getattr(self, name)
            for name in (
                "epochs", "traded_epochs", "orders", "matched_wh", "welfare", "lowest_price", "highest_price",
                "mean_price",
            )
        }  # fmt: skip
        return {"market": market, "users": [user.as_json() for user in self.users]}


def add_up(played: Iterable[PlayedEpoch], names: Mapping[bytes, str], parameters: Parameters) -> Results:
    """Return the results of *played* epochs for the accounts in *names*."""
    users, epochs = {account: UserResult(name) for account, name in names.items()}, list(played)
    for one in epochs:
        _add_lines(users, one)
        for account, _ in one.orders:
            users[account].bill_aaip += parameters.order_fee_aaip
    traded = [one.book for one in epochs if one.book.matched_wh]
    prices = [book.price_uaip_per_kwh or 0 for book in traded]
    matched_wh = sum(book.matched_wh for book in traded)
    paid = sum(price * book.matched_wh for price, book in zip(prices, traded, strict=True))
    return Results(
        tuple(users.values()), len(epochs), len(traded), sum(len(one.orders) for one in epochs), matched_wh,
        sum(measure_welfare(one) for one in epochs), min(prices, default=None), max(prices, default=None),
        paid // matched_wh if matched_wh else None,
    )  # fmt: skip


def measure_welfare(one: PlayedEpoch) -> int:
    """Return the bought value less the sold value of an epoch, at limit prices."""
    return sum(
        (row.fill_wh or 0) * row.price_uaip_per_kwh * (1 if row.side == Side.BUY else -1) for _, row in one.orders
    )


def start_of_day_s(epoch: int, first_epoch: int) -> int:
    """Return how many seconds *epoch* begins after the last start of a day; the trace begins with one."""
    return (epoch - first_epoch) * EPOCH_S % 86_400


def _add_lines(users: dict[bytes, UserResult], one: PlayedEpoch) -> None:
    own: defaultdict[bytes, list[SettlementLine]] = defaultdict(list)
    for line in one.lines:
        own[line.account].append(line)
    for account, lines in own.items():
        user = users[account]
        imported, exported = sum(line.import_wh for line in lines), sum(line.export_wh for line in lines)
        user.import_wh += imported
        user.export_wh += exported
        user.self_use_wh += min(imported, exported)
        user.community_wh += sum(line.burned_agrid for line in lines) // AGRID_PER_WH
        user.delivered_wh += sum(line.delivered_wh for line in lines)
        user.bill_aaip += sum(_cost_aaip(line) for line in lines)
        retail, feed_in = one.book.retail_uaip_per_kwh, one.book.feed_in_uaip_per_kwh
        user.grid_only_aaip += (imported * retail - exported * feed_in) * AAIP_PER_PRICE_WH


def _cost_aaip(line: SettlementLine) -> int:
    paid = line.market_cost_aaip + line.grid_cost_aaip + line.penalty_aaip
    return paid - line.market_income_aaip - line.grid_income_aaip


def _permille(part: int, whole: int) -> int:
    return part * 1000 // whole if whole else 0
