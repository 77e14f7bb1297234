"""What an epoch moves, as pure arithmetic: positions in, settlement lines out.

Each side is judged by its own meter. A buyer pays for what it bought whether or not the sellers delivered: the grid
account stands in for them, with energy that carries no GRID. What a buyer did not use is resold to the grid account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.errors import LedgerError
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.market.tables import AAIP_PER_PRICE_WH, EpochRow, Interval
from ledger.records import LineFlag, SettlementLine

_NOTHING: Final = Interval(0, 0, b"", b"", 0, b"")


class ConservationError(LedgerError):
    """A settlement that would make or lose energy, GRID or money: a fault of the program, at which a node must stop."""


@dataclass(frozen=True, slots=True)
class Position:
    """A meter's part in an epoch: its fills, and its interval if it reported. `sequence` is its first order's.

    `keeps_surplus`: the GRID of what it exported unsold stays with its owner, who forgoes the feed-in payment.
    """

    account: bytes
    meter: bytes
    key_thumbprint: bytes
    sold_wh: int
    bought_wh: int
    sequence: int
    interval: Interval | None
    keeps_surplus: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A settlement line with the energies it was made of: each is what the other parts of the settlement move.

    The grid account takes `unsold_wh`, pays for it and gets its GRID; of `kept_wh` it takes the energy alone.
    """

    record: SettlementLine
    retail_wh: int
    unsold_wh: int
    kept_wh: int
    resold_wh: int
    shortfall_wh: int
    retail_aaip: int
    replacement_aaip: int

    @property
    def absorbed_wh(self) -> int:
        """The energy that the grid account takes, paid for or not."""
        return self.unsold_wh + self.kept_wh + self.resold_wh

    @property
    def net_aaip(self) -> int:
        """What the line changes in its account's worth."""
        line = self.record
        income = line.market_income_aaip + line.grid_income_aaip
        return income - line.market_cost_aaip - line.grid_cost_aaip - line.penalty_aaip


def draw_lines(epoch: int, book: EpochRow, positions: Sequence[Position]) -> list[Line]:
    """Return a line for each of *positions*, in their order; raises ConservationError rather than lose anything."""
    delivered = [min(position.sold_wh, _interval(position).export_wh) for position in positions]
    received = share_pro_rata(sum(delivered), positions)
    lines = [
        _draw_line(epoch, book, position, delivered_wh, received_wh)
        for position, delivered_wh, received_wh in zip(positions, delivered, received, strict=True)
    ]
    _check(book, lines)
    return lines


def share_pro_rata(delivered_wh: int, positions: Sequence[Position]) -> list[int]:
    """Return what each position receives of *delivered_wh*, in proportion to its purchases by largest remainder.

    Ties go to the earlier order.
    """
    bought_wh = sum(position.bought_wh for position in positions)
    if not bought_wh:
        return [0] * len(positions)
    shares = [position.bought_wh * delivered_wh // bought_wh for position in positions]
    by_remainder = sorted(
        range(len(positions)),
        key=lambda i: (-(positions[i].bought_wh * delivered_wh % bought_wh), positions[i].sequence, positions[i].meter),
    )
    for index in by_remainder[: delivered_wh - sum(shares)]:
        shares[index] += 1
    return shares


def draw_gap_line(epoch: int, book: EpochRow, position: Position, interval: Interval, flags: LineFlag) -> Line:
    """Return the line of a gap interval: all of it against the grid account, serving no order."""
    return _draw_line(epoch, book, _as_gap(position, interval, flags), 0, 0)


def _as_gap(position: Position, interval: Interval, flags: LineFlag) -> Position:
    marked = interval._replace(flags=interval.flags | int(flags))
    return Position(position.account, position.meter, position.key_thumbprint, 0, 0, 0, marked)


def _draw_line(epoch: int, book: EpochRow, position: Position, delivered_wh: int, received_wh: int) -> Line:
    interval, price = _interval(position), book.price_uaip_per_kwh or 0
    retail, feed_in = book.retail_uaip_per_kwh, book.feed_in_uaip_per_kwh
    covered_wh = min(interval.import_wh, position.bought_wh)
    retail_wh, resold_wh = interval.import_wh - covered_wh, position.bought_wh - covered_wh
    surplus_wh, shortfall_wh = interval.export_wh - delivered_wh, position.sold_wh - delivered_wh
    kept_wh = surplus_wh if position.keeps_surplus else 0
    unsold_wh = surplus_wh - kept_wh
    retail_aaip = retail_wh * retail * AAIP_PER_PRICE_WH
    replacement_aaip = shortfall_wh * (retail - price) * AAIP_PER_PRICE_WH
    record = SettlementLine(
        account=position.account,
        epoch=epoch,
        meter=position.meter,
        key_thumbprint=position.key_thumbprint,
        first_reading=interval.first_reading or None,
        last_reading=interval.last_reading or None,
        import_wh=interval.import_wh,
        export_wh=interval.export_wh,
        sold_wh=position.sold_wh,
        bought_wh=position.bought_wh,
        delivered_wh=delivered_wh,
        received_wh=received_wh,
        price_uaip_per_kwh=book.price_uaip_per_kwh,
        market_income_aaip=delivered_wh * price * AAIP_PER_PRICE_WH,
        market_cost_aaip=position.bought_wh * price * AAIP_PER_PRICE_WH,
        grid_income_aaip=(unsold_wh + resold_wh) * feed_in * AAIP_PER_PRICE_WH,
        grid_cost_aaip=retail_aaip + replacement_aaip,
        penalty_aaip=shortfall_wh * book.penalty_uaip_per_kwh * AAIP_PER_PRICE_WH,
        minted_agrid=interval.export_wh * AGRID_PER_WH,
        burned_agrid=min(interval.import_wh, received_wh) * AGRID_PER_WH,
        flags=_flags(position, kept_wh),
    )
    return Line(record, retail_wh, unsold_wh, kept_wh, resold_wh, shortfall_wh, retail_aaip, replacement_aaip)


def _flags(position: Position, kept_wh: int) -> int:
    not_reported = int(LineFlag.NOT_REPORTED) if position.interval is None else 0
    return _interval(position).flags | not_reported | (int(LineFlag.KEPT) if kept_wh else 0)


def _interval(position: Position) -> Interval:
    return position.interval or _NOTHING


def _check(book: EpochRow, lines: Sequence[Line]) -> None:
    """Hold energy and money of the whole epoch against each other, each counted from both sides."""
    records = [line.record for line in lines]
    _require(sum(r.sold_wh for r in records) == book.matched_wh, "sales are not what was matched")
    _require(sum(r.bought_wh for r in records) == book.matched_wh, "purchases are not what was matched")
    delivered_wh = sum(r.delivered_wh for r in records)
    _require(delivered_wh == sum(r.received_wh for r in records), "not all delivered energy was received")
    _require(all(r.received_wh <= r.bought_wh for r in records), "somebody received more than was bought")
    shortfall_wh = sum(line.shortfall_wh for line in lines)
    energy_in = sum(r.export_wh + line.retail_wh for r, line in zip(records, lines, strict=True)) + shortfall_wh
    energy_out = sum(r.import_wh for r in records) + sum(line.absorbed_wh for line in lines)
    _require(energy_in == energy_out, "energy in is not energy out")
    _require(sum(line.net_aaip for line in lines) + _grid_net(book, lines) == 0, "money paid is not money received")


def _grid_net(book: EpochRow, lines: Sequence[Line]) -> int:
    """Return what the grid account gains, counted from its own side: energies x tariffs."""
    shortfall_wh = sum(line.shortfall_wh for line in lines)
    sold = sum(line.retail_wh for line in lines) * book.retail_uaip_per_kwh
    replaced = shortfall_wh * (book.retail_uaip_per_kwh + book.penalty_uaip_per_kwh)
    taken = sum(line.unsold_wh + line.resold_wh for line in lines) * book.feed_in_uaip_per_kwh
    return (sold + replaced - taken) * AAIP_PER_PRICE_WH


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ConservationError(f"{text}; stop this node and compare it with the others")
