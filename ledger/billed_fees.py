"""The fees on a bill: what an account paid for orders and calls in a span of time, each with its receipt's proof.

A fee belongs to the epoch in which it was paid, so that bills of spans that follow each other hold each one once. The
fee of an order that rolled over was taken by the block itself: no receipt of a transaction says so, the block's events
do, and its line names the block and has no proof.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from ledger import cbor

PAGE: Final = 1_000
_AMOUNTS: Final = {
    ("market", "order_created"): ("order fee", "fee_aaip"),
    ("money", "fee_paid"): ("call fee", "amount_aaip"),
}
"""What an event is called on a bill, and which of its values is the fee."""


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee as an event tells it; `transaction` is None for an order that rolled over, `meter` for a call."""

    kind: str
    time_ms: int
    height: int
    transaction: bytes | None
    meter: str
    fee_aaip: int

    def stands_in(self, events: bytes) -> bool:
        """Tell whether *events*, as a receipt commits to them, say this fee; raises MalformedError."""
        read = [(module, name, dict(values)) for module, name, values in cbor.decode(events)]
        told = [(_AMOUNTS[module, name], values) for module, name, values in read if (module, name) in _AMOUNTS]
        return any(kind == self.kind and values[amount] == self.fee_aaip for (kind, amount), values in told)


async def read_fees(client: Any, account: str, first_ms: int, end_ms: int) -> list[Fee]:
    """Return the fees that *account* (hex) paid from *first_ms* up to *end_ms*, in order, none of them of 0 aAIP."""
    newest = (await client.status()).height
    times: dict[int, int] = {}

    async def time_of(height: int) -> int:
        if height not in times:
            times[height] = (await client.block(height)).time_ms
        return times[height]

    at, end = f"{await _first_height(time_of, newest, first_ms)}.0", await _first_height(time_of, newest, end_ms)
    fees: list[Fee] = []
    while int(at.partition(".")[0]) < end:
        page = await client.events(at, PAGE, account=bytes.fromhex(account))
        for event in page.events:
            fee = _read_fee(event, account, await time_of(event.height)) if event.height < end else None
            fees += [fee] if fee is not None else []
        if page.next == at:
            break
        at = page.next
    return fees


async def _first_height(time_of: Callable[[int], Awaitable[int]], newest: int, time_ms: int) -> int:
    """Return the first height whose block is not before *time_ms*; one above *newest* where none is."""
    low, high = 1, newest + 1
    while low < high:
        middle = (low + high) // 2
        if await time_of(middle) < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _read_fee(event: Any, account: str, time_ms: int) -> Fee | None:
    kind, amount = _AMOUNTS.get((event.module, event.name), ("", ""))
    if not kind or event.values["account"] != account or not int(event.values[amount]):
        return None
    return Fee(kind, time_ms, event.height, event.transaction, event.values.get("meter", ""), int(event.values[amount]))
