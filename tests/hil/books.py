"""A small set of books that add up: one epoch, a seller who delivers all, a buyer who imports more than was bought."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hil.conservation import AGRID_PER_WH, Books, UserMoney
from ledger.api.resources import Account, Conservation, Epoch, SettlementLine, Supply
from ledger.genesis import Parameters
from ledger.keys import PrivateKey
from ledger.reading import ENERGY_EXPORT, ENERGY_IMPORT, NO_PREVIOUS, ClockQuality, Reading, Reason, Status

EPOCH = 7
PARAMETERS = Parameters()
PRICE, RETAIL, FEED_IN = 3_000_000, PARAMETERS.retail_uaip_per_kwh, PARAMETERS.feed_in_uaip_per_kwh
GIVEN_AAIP = 10**21
AAIP = 10**9
"""A price of 1 µAIP/kWh times 1 Wh."""
SELLER, BUYER = b"S" * 8, b"B" * 8
KEY = PrivateKey(bytes(32))


def boundary(meter: bytes, epoch: int, import_wh: int, export_wh: int) -> Reading:
    return Reading(
        epoch, epoch * 10, ClockQuality.SYNCED, 0, None, Reason.BOUNDARY, epoch,
        ((ENERGY_IMPORT, import_wh), (ENERGY_EXPORT, export_wh)), Status(0), NO_PREVIOUS, KEY.key_id,
        meter + bytes([epoch]),
    )  # fmt: skip


READINGS = {
    reading.hash: reading
    for reading in (
        boundary(SELLER, EPOCH, 5, 1000), boundary(SELLER, EPOCH + 1, 5, 1100),
        boundary(BUYER, EPOCH, 300, 0), boundary(BUYER, EPOCH + 1, 450, 0),
    )
}  # fmt: skip


def line(meter: bytes, **values: Any) -> SettlementLine:
    first, last = (next(r.hash for r in READINGS.values() if r.raw == meter + bytes([e])) for e in (EPOCH, EPOCH + 1))
    numbers = (field.name for field in fields(SettlementLine) if field.type in {"int", "Amount"})
    zeros = dict.fromkeys(numbers, 0)
    return SettlementLine(**{
        **zeros, "account": meter, "epoch": EPOCH, "meter": meter, "key_thumbprint": bytes(32), "first_reading": first,
        "last_reading": last, "price_uaip_per_kwh": PRICE, **values,
    })  # fmt: skip


def make_books() -> Books:
    """Return the books: 80 Wh sold, 100 exported; 80 bought, 150 imported."""
    lines = (
        line(
            SELLER, export_wh=100, sold_wh=80, delivered_wh=80, market_income_aaip=80 * PRICE * AAIP,
            grid_income_aaip=20 * FEED_IN * AAIP, minted_agrid=100 * AGRID_PER_WH,
        ),
        line(
            BUYER, import_wh=150, bought_wh=80, received_wh=80, market_cost_aaip=80 * PRICE * AAIP,
            grid_cost_aaip=70 * RETAIL * AAIP, burned_agrid=80 * AGRID_PER_WH,
        ),
    )  # fmt: skip
    nets = {SELLER: (80 * PRICE + 20 * FEED_IN) * AAIP, BUYER: -(80 * PRICE + 70 * RETAIL) * AAIP}
    fee_aaip = PARAMETERS.order_fee_aaip
    users = tuple(
        UserMoney(
            Account(account, 1, 1, 50, GIVEN_AAIP + net - fee_aaip - 7, 7, 0, 0, 0, ("user",)),
            GIVEN_AAIP,
            1,
        )
        for account, net in nets.items()
    )
    supply = Supply(
        50, 10**24, 10**24, 7, 0, 20 * AGRID_PER_WH, 100 * AGRID_PER_WH, 80 * AGRID_PER_WH, 20 * AGRID_PER_WH,
        150, 100, 70, 20,
        Conservation(energy=True, money=True, grid_supply=True),
    )  # fmt: skip
    epoch = Epoch(EPOCH, "settled", PRICE, (PRICE, PRICE), 80, 2, 150, 100, lines)
    return Books((epoch,), READINGS, users, PARAMETERS, {"ERC": supply, "MEA": supply})
