"""`campusgrid market explain`: what became of an order, asked of a node, told in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ledger.api import resources
from ledger.errors import LedgerError
from ledger.market.book import Order, Side
from ledger.market.explanation import ClearedBook, explain, show_price
from ledger.remote.client import LedgerClient

ORDER_ID_DIGITS = 16
TRANSACTION_ID_DIGITS = 64


class UnknownOrderError(LedgerError):
    """There is nothing to explain; the text says what else to ask."""


async def explain_order(url: str, wanted: str) -> list[str]:
    """Return the sentences about the order *wanted*: its id, or the id of the transaction that created it, in hex.

    Raises UnknownOrderError where the ledger's state holds no such order.
    """
    async with LedgerClient([url]) as client:
        if len(wanted) == TRANSACTION_ID_DIGITS:
            receipt = await client.receipt(bytes.fromhex(wanted))
            if receipt.status != "final" or receipt.code:
                return [_explain_receipt(receipt)]
        found = await client.query("market", "find_order", order=bytes.fromhex(wanted[:ORDER_ID_DIGITS]))
        if found is None:
            raise UnknownOrderError(
                f"the ledger's state holds no order {wanted[:ORDER_ID_DIGITS]}: it was never accepted, was cancelled, "
                "or its epoch was settled long ago; give the id of its transaction (64 hex digits) to see its receipt"
            )
        epoch = await client.epoch(found["epoch"])
        parameters = await client.parameters()
        head = _introduce(found, int(parameters["epoch_s"]))
        if epoch.phase == "open":
            return [head, "Its book is open: orders are matched when the epoch begins, none before."]
        book = read_book(await client.orders(found["epoch"]), epoch)
        return [head, *explain(bytes.fromhex(found["id"]), book), *_explain_settlement(found, epoch)]


def read_book(orders: Sequence[resources.Order], epoch: resources.Epoch) -> ClearedBook:
    """Return the book of a cleared epoch."""
    entries = [
        Order(o.id, o.account, Side(o.side), o.price_uaip_per_kwh, o.quantity_wh, o.sequence)
        for o in sorted(orders, key=lambda order: order.sequence)
    ]
    fills = {order.id: order.filled_wh for order in orders}
    return ClearedBook(entries, fills, epoch.matched_wh, epoch.price_uaip_per_kwh, epoch.price_interval)


def _explain_receipt(receipt: resources.Receipt) -> str:
    if receipt.status != "final":
        return f"Transaction {receipt.id.hex()} is {receipt.status}: no block holds it yet, so there is no order of it."
    return f"The ledger refused the order in block {receipt.height}: {receipt.text} ({receipt.code_name})."


def _introduce(found: dict[str, Any], epoch_s: int) -> str:
    start = datetime.fromtimestamp(found["epoch"] * epoch_s, UTC)
    verb, limit = ("buy", "at most") if found["side"] == "buy" else ("sell", "at least")
    return (
        f"Order {found['id']} of account {found['account']}: {verb} {found['quantity_wh']} Wh with meter "
        f"{found['meter']} at {limit} {show_price(found['price_uaip_per_kwh'])} AIP/kWh in epoch {found['epoch']}, "
        f"which begins {start:%Y-%m-%d %H:%M:%S} UTC."
    )


def _explain_settlement(found: dict[str, Any], epoch: resources.Epoch) -> list[str]:
    """Say what the meter bore out of what all its orders of this side traded."""
    lines = [line for line in epoch.lines if line.meter.hex() == found["meter"] and (line.bought_wh or line.sold_wh)]
    if epoch.phase != "settled":
        return ["The epoch is not settled yet: its meters' readings, or the deadline, are waited for."]
    if not lines:
        return ["The epoch is settled; this meter traded nothing in it."]
    (line,) = lines
    if found["side"] == "buy":
        text = (
            f"Settled: the meter's orders bought {line.bought_wh} Wh and it imported {line.import_wh} Wh; "
            f"{max(0, line.bought_wh - line.import_wh)} Wh that it did not use were resold at the feed-in tariff. "
            f"Sellers delivered {line.received_wh} Wh of it, the grid account the rest, at the same price."
        )
        return [text]
    missing_wh = line.sold_wh - line.delivered_wh
    penalty = "" if not missing_wh else f" For {missing_wh} Wh the grid account stood in, with penalty, at its cost."
    return [f"Settled: the meter's orders sold {line.sold_wh} Wh and it delivered {line.delivered_wh} Wh.{penalty}"]
