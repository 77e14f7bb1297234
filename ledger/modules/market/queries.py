"""What the market answers about its orders."""

from __future__ import annotations

from typing import Any

from ledger.modules.kinds import OrderId
from ledger.modules.market.tables import ORDER_PLACES, ORDERS, module
from ledger.modules.module import Look


@module.query()
def find_order(look: Look, order: OrderId) -> dict[str, Any] | None:
    """Return an order with its place in time and what it locks, null where the state holds none of this id.

    `fill_wh` is null until the epoch is cleared. Cancelled orders, and those of epochs settled long ago, are gone.
    """
    place = look.state.get(ORDER_PLACES, order)
    row = None if place is None else look.state.get(ORDERS, place.key)
    if place is None or row is None:
        return None
    return {
        "id": row.id, "account": place.key[8:16], "meter": row.meter, "epoch": int.from_bytes(place.key[:8], "big"),
        "side": row.side, "price_uaip_per_kwh": row.price_uaip_per_kwh, "quantity_wh": row.quantity_wh,
        "sequence": row.sequence, "fill_wh": row.fill_wh, "locked_aaip": row.locked_aaip,
    }  # fmt: skip
