"""What the market answers about its orders, and about energy that waits to be released."""

from __future__ import annotations

from typing import Any

from ledger.modules.kinds import OrderId
from ledger.modules.market.tables import HELD, ORDER_PLACES, ORDERS, module
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


@module.query()
def list_held(look: Look) -> list[dict[str, Any]]:
    """Return which spans of epochs, of which meters, are held as impossible for the rated power, and who approved them.

    They wait for ever: `market.release_energy` by an admin and by an authority books one, and nothing else ends it.
    How much it is stands in the event `held`, for those who may see it. The approvals are accounts, null where none is.
    """
    return [
        {
            "meter": key[:8], "first_epoch": row.first_epoch, "epoch": int.from_bytes(key[8:], "big"),
            "approved_by_admin": row.approved_by_admin or None,
            "approved_by_authority": row.approved_by_authority or None,
        }
        for key, row in look.state.scan(HELD)
    ]  # fmt: skip


@module.metric()
def held_intervals(look: Look) -> int:
    """Intervals held as impossible for their meters' rated power, which an admin and an authority should look at."""
    return sum(1 for _ in look.state.scan(HELD))
