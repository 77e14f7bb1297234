"""The fees on a bill: what an account paid for orders and calls in a span of time, each with its proof.

A fee belongs to the epoch in which it was paid, so that bills of spans that follow each other hold each one once. It
stands in its transaction's receipt; that of an order which rolled over, in the log by itself, for the block took it. A
node that has given up the span's first blocks, or their events, does not know all of its fees; that is said, and what
it knows is returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger import cbor
from ledger.errors import MalformedError
from ledger.records import FeeRecord, ReceiptRecord

PAGE: Final = 1_000
_ORDER_FEE: Final = "order fee"
_AMOUNTS: Final = {
    ("market", "order_created"): (_ORDER_FEE, "fee_aaip"),
    ("money", "fee_paid"): ("call fee", "amount_aaip"),
}
"""What an event is called on a bill, and which of its values is the fee."""
_GONE: Final = ("pruned", "unknown_block")


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee as an event tells it; `meter` and `order` are empty for a call.

    `transaction` is None for an order that rolled over.
    """

    kind: str
    account: str
    time_ms: int
    height: int
    transaction: bytes | None
    meter: str
    order: str
    fee_aaip: int

    def stands_in(self, record: ReceiptRecord, events: bytes) -> bool:
        """Tell whether this fee's transaction has *record*, which commits to *events*, and they say just this fee.

        Raises MalformedError.
        """
        if record.transaction_id != self.transaction or record.effects_hash != hashlib.sha256(events).digest():
            return False
        for module, name, pairs in cbor.decode(events):
            kind, amount = _AMOUNTS.get((module, name), ("", ""))
            values = dict(pairs)
            named = (values.get(name, b"").hex() for name in ("account", "meter", "order"))
            if (kind, *named, values.get(amount)) == (self.kind, self.account, self.meter, self.order, self.fee_aaip):
                return True
        return False

    def is_told_by(self, record: FeeRecord) -> bool:
        """Tell whether *record* says just this fee."""
        named = (record.account.hex(), record.meter.hex(), record.order.hex())
        told = (_ORDER_FEE, *named, record.height, record.fee_aaip)
        return told == (self.kind, self.account, self.meter, self.order, self.height, self.fee_aaip)


@dataclass(frozen=True, slots=True)
class Fees:
    """The fees of a span that a node knows, in order; `are_all` says whether it knows of the whole span."""

    known: tuple[Fee, ...]
    are_all: bool


async def read_fees(client: Any, account: str, first_ms: int, end_ms: int) -> Fees:
    """Return the fees that *account* (hex) paid from *first_ms* up to *end_ms*, none of them of 0 aAIP."""
    newest = (await client.status()).height
    times: dict[int, int | None] = {}

    async def time_of(height: int) -> int | None:
        if height not in times:
            times[height] = await _time_of(client, height)
        return times[height]

    first, end = [await _first_height(time_of, newest, time_ms) for time_ms in (first_ms, end_ms)]
    are_all = first == 1 or await time_of(first - 1) is not None
    fees, at = [], f"{first}.0"
    while int(at.partition(".")[0]) < end:
        page = await _unless_gone(client.events(at, PAGE, account=bytes.fromhex(account)))
        if page is None:
            return Fees((), are_all=False)
        for event in page.events:
            told = _read_fee(event, account) if event.height < end else None
            if told is not None:
                time_ms = await time_of(event.height) or first_ms
                fees.append(replace(told, time_ms=time_ms))
        if page.next == at:
            break
        at = page.next
    return Fees(tuple(fees), are_all)


async def _time_of(client: Any, height: int) -> int | None:
    """Return the time of a block; None where the node has given it up, or came by a snapshot and never had it."""
    block = await _unless_gone(client.block(height))
    return None if block is None else int(block.time_ms)


async def _unless_gone(asking: Awaitable[Any]) -> Any | None:
    """Return the answer, None where the node does not have any more what is asked for."""
    from ledger.remote.nodes import RefusedError  # noqa: PLC0415 - loads httpx, which no --help should wait for

    try:
        return await asking
    except RefusedError as error:
        if error.code not in _GONE:
            raise
        return None


async def _first_height(time_of: Callable[[int], Awaitable[int | None]], newest: int, time_ms: int) -> int:
    """Return the first height that is there whose block is not before *time_ms*; one above *newest* where none is."""
    low, high = 1, newest + 1
    while low < high:
        middle = (low + high) // 2
        found_ms = await time_of(middle)
        if found_ms is None or found_ms < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _read_fee(event: Any, account: str) -> Fee | None:
    """Return the fee that *event* tells, its time left open; None for any other event, or another's.

    Orders of before there were fees in events tell none. Raises MalformedError.
    """
    kind, amount = _AMOUNTS.get((event.module, event.name), ("", ""))
    if not kind:
        return None
    try:
        meter, order = (bytes.fromhex(event.values.get(name, "")).hex() for name in ("meter", "order"))
        fee_aaip, payer = int(event.values.get(amount, 0)), event.values["account"]
    except (KeyError, TypeError, ValueError) as error:
        text = f"the node tells of an unreadable {kind} in block {event.height} ({error!r}); ask another node"
        raise MalformedError(text) from error
    is_own = bool(fee_aaip) and payer == account
    return Fee(kind, account, 0, event.height, event.transaction, meter, order, fee_aaip) if is_own else None
