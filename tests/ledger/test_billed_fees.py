"""Which fees a bill has: those of its account and span, each once, page by page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ledger import billed_fees, cbor
from ledger.billed_fees import Fee, read_fees

USER, OTHER, METER = "aa" * 8, "bb" * 8, "ee" * 8


@dataclass
class Answers:
    """A node of *newest* blocks, one in a second, whose events are (height, transaction, module, name, values)."""

    newest: int
    said: list[tuple[int, bytes | None, str, str, dict[str, Any]]] = field(default_factory=list)

    async def status(self) -> Any:
        return SimpleNamespace(height=self.newest)

    async def block(self, height: int) -> Any:
        return SimpleNamespace(time_ms=height * 1000)

    async def events(self, after: str, limit: int, *, account: bytes) -> Any:
        height, count = map(int, after.split("."))
        places = [(h, n) for h in range(1, self.newest + 1) for n in range(1, sum(e[0] == h for e in self.said) + 1)]
        listed = sorted(self.said, key=lambda event: event[0])
        page = [(p, e) for p, e in zip(places, listed, strict=True) if p > (height, count)][:limit]
        found = [SimpleNamespace(height=e[0], transaction=e[1], module=e[2], name=e[3], values=e[4]) for _, e in page]
        end = f"{page[-1][0][0]}.{page[-1][0][1]}" if len(page) == limit else f"{self.newest + 1}.0"
        return SimpleNamespace(events=found, next=end)


def order(height: int, account: str = USER, fee: int = 5, transaction: bytes | None = b"t") -> Any:
    return height, transaction, "market", "order_created", {"account": account, "meter": METER, "fee_aaip": str(fee)}


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_fees_of_the_account_and_span_are_found_once(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billed_fees, "PAGE", page)
    call = (6, b"c", "money", "fee_paid", {"account": USER, "amount_aaip": "3"})
    moved = (6, b"m", "money", "transferred", {"account": USER, "amount_aaip": "4"})
    said = [order(2), order(4), order(5, OTHER), order(5, fee=0), moved, call, order(7, transaction=None), order(8)]
    fees = asyncio.run(read_fees(Answers(9, said), USER, 3500, 8000))
    assert fees == [
        Fee("order fee", 4000, 4, b"t", METER, 5),
        Fee("call fee", 6000, 6, b"c", "", 3),
        Fee("order fee", 7000, 7, None, METER, 5),
    ]


@pytest.mark.parametrize("span", [(0, 1000), (50_000, 60_000)])
def test_a_span_before_or_after_all_blocks_has_none(span: tuple[int, int]) -> None:
    assert asyncio.run(read_fees(Answers(9, [order(4)]), USER, *span)) == []


def test_a_fee_stands_in_the_events_of_its_receipt_or_it_does_not() -> None:
    events = cbor.encode([["market", "order_created", [["fee_aaip", 5]]], ["money", "transferred", []]])
    assert Fee("order fee", 0, 1, b"t", METER, 5).stands_in(events)
    assert not Fee("order fee", 0, 1, b"t", METER, 6).stands_in(events)
