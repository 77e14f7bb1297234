"""Recomputes the three conservation laws from the settlement lines, without the ledger's own code.

Energy: each line's Wh equal the difference of the meter's own registers, fills balance, Wh in = Wh out.
Money: each line's amounts follow from its energies and the prices, and every user is worth what they were given, plus
their lines, minus order fees, to the last aAIP.
GRID: what the lines minted and burned is what the tables hold; a minted Wh is 10^15 aGRID.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.api.resources import Account, Epoch, SettlementLine, Supply
from ledger.genesis import Parameters
from ledger.reading import ENERGY_EXPORT, ENERGY_IMPORT, Reading
from ledger.records import LineFlag

AGRID_PER_WH: Final = 10**15
AAIP_PER_PRICE_WH: Final = 10**9
"""1 µAIP per kWh times 1 Wh, in aAIP."""


@dataclass(frozen=True, slots=True)
class UserMoney:
    """A user's account at the end, what genesis money they got, and how many orders they paid a fee for."""

    account: Account
    given_aaip: int
    orders: int


@dataclass(frozen=True, slots=True)
class Conservation:
    """Which law holds; `faults` says in words what does not."""

    energy: bool
    money: bool
    grid_supply: bool
    faults: tuple[str, ...]

    @property
    def laws(self) -> dict[str, bool]:
        """Each law's name and whether it holds."""
        return {"energy": self.energy, "money": self.money, "grid_supply": self.grid_supply}


@dataclass(frozen=True, slots=True)
class Books:
    """All that is checked: settled epochs, stored readings by hash, users, genesis parameters, every node's totals."""

    epochs: Sequence[Epoch]
    readings: Mapping[bytes, Reading]
    users: Sequence[UserMoney]
    parameters: Parameters
    supplies: Mapping[str, Supply]

    @property
    def lines(self) -> list[SettlementLine]:
        """The settlement lines of all epochs."""
        return [line for epoch in self.epochs for line in epoch.lines]


def check(books: Books) -> Conservation:
    """Return which laws hold in *books*; a law holds if our own sums and every node say so."""
    nodes = list(books.supplies.items())
    energy = [*_energy_faults(books), *(f"node {n} denies it" for n, s in nodes if not s.conserved.energy)]
    money = [*_money_faults(books), *(f"node {n} denies it" for n, s in nodes if not s.conserved.money)]
    supply = [*_supply_faults(books), *(f"node {n} denies it" for n, s in nodes if not s.conserved.grid_supply)]
    faults = [f"{law}: {fault}" for law, found in zip(_LAWS, (energy, money, supply), strict=True) for fault in found]
    return Conservation(not energy, not money, not supply, tuple(faults))


_LAWS: Final = ("energy", "money", "GRID")


def _energy_faults(books: Books) -> Iterable[str]:
    for epoch in books.epochs:
        yield from _epoch_faults(epoch)
    for line in books.lines:
        yield from _reading_faults(books, line)
    sums = [sum(values) for values in zip(*(_grid_energy_wh(line) for line in books.lines), strict=True)] or [0, 0]
    imported, exported = sum(line.import_wh for line in books.lines), sum(line.export_wh for line in books.lines)
    if exported + sums[0] != imported + sums[1]:
        yield f"{exported} + {sums[0]} Wh came in, {imported} + {sums[1]} went out"
    for name, supply in books.supplies.items():
        found = [supply.import_wh, supply.export_wh, supply.grid_supplied_wh, supply.grid_absorbed_wh]
        if found != [imported, exported, *sums]:
            yield f"node {name} counts {found} Wh, the lines {[imported, exported, *sums]}"


def _epoch_faults(epoch: Epoch) -> Iterable[str]:
    sold, bought = sum(line.sold_wh for line in epoch.lines), sum(line.bought_wh for line in epoch.lines)
    if not sold == bought == epoch.matched_wh:
        yield f"epoch {epoch.epoch} matched {epoch.matched_wh} Wh but sold {sold} and bought {bought}"
    delivered, received = sum(line.delivered_wh for line in epoch.lines), sum(line.received_wh for line in epoch.lines)
    if delivered != received:
        yield f"epoch {epoch.epoch}: {delivered} Wh delivered, {received} received"
    imported, exported = sum(line.import_wh for line in epoch.lines), sum(line.export_wh for line in epoch.lines)
    if (imported, exported) != (epoch.import_wh, epoch.export_wh):
        yield f"epoch {epoch.epoch}: the lines do not add up to its {epoch.import_wh} and {epoch.export_wh} Wh"


def _reading_faults(books: Books, line: SettlementLine) -> Iterable[str]:
    """Hold a line against the meter's own registers, as the gateway stored them."""
    if line.flags & LineFlag.CORRECTION:
        return  # it moves no energy
    name = _name(line)
    if line.delivered_wh != min(line.sold_wh, line.export_wh):
        yield f"{name}: delivered {line.delivered_wh} Wh of {line.sold_wh} sold and {line.export_wh} exported"
    if line.first_reading is None or line.last_reading is None:
        if line.import_wh or line.export_wh:
            yield f"{name}: energy without readings"
        return
    first, last = (books.readings.get(hash_) for hash_ in (line.first_reading, line.last_reading))
    if first is None or last is None or last.epoch != line.epoch + 1:
        yield f"{name}: the gateway did not store the readings that the line names"
        return
    measured = [(last.register(code) or 0) - (first.register(code) or 0) for code in (ENERGY_IMPORT, ENERGY_EXPORT)]
    if measured != [line.import_wh, line.export_wh]:
        yield f"{name}: registers say {measured} Wh, the line {line.import_wh} and {line.export_wh}"


def _money_faults(books: Books) -> Iterable[str]:
    net: dict[bytes, int] = {}
    for line in books.lines:
        net[line.account] = net.get(line.account, 0) + _net_aaip(line)
        due, found = _amounts_due(line, books.parameters), _amounts(line)
        if due != found and not line.flags & LineFlag.CORRECTION:
            yield f"{_name(line)}: amounts {found}, energies and prices say {due}"
    for user in books.users:
        expected = user.given_aaip + net.get(user.account.id, 0) - user.orders * books.parameters.order_fee_aaip
        worth = user.account.balance_aaip + user.account.locked_aaip + user.account.claims_aaip - user.account.owes_aaip
        if worth != expected:
            yield f"user {user.account.id.hex()} has {worth} aAIP, their lines and fees say {expected}"
    for name, supply in books.supplies.items():
        if supply.aip_total_aaip != supply.aip_expected_aaip:
            yield f"node {name} holds {supply.aip_total_aaip} aAIP of {supply.aip_expected_aaip} issued"


def _grid_energy_wh(line: SettlementLine) -> tuple[int, int]:
    """Return what the grid account supplied to this meter and what it absorbed from it, in Wh."""
    covered = min(line.import_wh, line.bought_wh)
    supplied = line.import_wh - covered + line.sold_wh - line.delivered_wh
    return supplied, line.export_wh - line.delivered_wh + line.bought_wh - covered


def _amounts(line: SettlementLine) -> tuple[int, ...]:
    return (
        line.market_income_aaip, line.market_cost_aaip, line.grid_income_aaip, line.grid_cost_aaip, line.penalty_aaip,
    )  # fmt: skip


def _amounts_due(line: SettlementLine, parameters: Parameters) -> tuple[int, ...]:
    """Return `_amounts` as energies and prices give them."""
    price = line.price_uaip_per_kwh or 0
    retail, feed_in = parameters.retail_uaip_per_kwh, parameters.feed_in_uaip_per_kwh
    shortfall = line.sold_wh - line.delivered_wh
    supplied, absorbed = _grid_energy_wh(line)
    due = (
        line.delivered_wh * price,
        line.bought_wh * price,
        absorbed * feed_in,
        (supplied - shortfall) * retail + shortfall * (retail - price),
        shortfall * parameters.penalty_uaip_per_kwh,
    )
    return tuple(amount * AAIP_PER_PRICE_WH for amount in due)


def _net_aaip(line: SettlementLine) -> int:
    market_income, market_cost, grid_income, grid_cost, penalty = _amounts(line)
    return market_income + grid_income - market_cost - grid_cost - penalty


def _supply_faults(books: Books) -> Iterable[str]:
    for line in books.lines:
        if line.minted_agrid != line.export_wh * AGRID_PER_WH:
            yield f"{_name(line)} minted other than its {line.export_wh} Wh"
        if line.burned_agrid != min(line.import_wh, line.received_wh) * AGRID_PER_WH:
            yield f"{_name(line)} burned other than what it received and consumed"
    minted, burned = sum(line.minted_agrid for line in books.lines), sum(line.burned_agrid for line in books.lines)
    for name, supply in books.supplies.items():
        if (supply.grid_minted_agrid, supply.grid_burned_agrid) != (minted, burned):
            yield f"node {name} minted {supply.grid_minted_agrid}, burned {supply.grid_burned_agrid}, unlike the lines"
        if not supply.grid_held_agrid == supply.grid_supply_agrid == minted - burned:
            yield f"node {name} holds {supply.grid_held_agrid} aGRID where {minted - burned} are left"


def _name(line: SettlementLine) -> str:
    return f"meter {line.meter.hex()} in epoch {line.epoch}"
