"""Which fees a bill has: those of its account and span, each once, page by page."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from ledger import billed_fees, cbor
from ledger.api.resources import Problem
from ledger.bill import BillError, _require_each_once
from ledger.billed_fees import Fee, Fees, read_fees
from ledger.errors import MalformedError
from ledger.records import FeeRecord, ReceiptRecord
from ledger.remote.nodes import RefusedError

USER, OTHER, METER, ORDER = "aa" * 8, "bb" * 8, "ee" * 8, "dd" * 8

CHANGES: list[dict[str, Any]] = [{"fee_aaip": 6}, {"account": OTHER}, {"meter": ""}, {"order": METER}]


@dataclass
class Answers:
    """A node of *newest* blocks, one in a second, whose events are (height, transaction, module, name, values).

    It has given up the blocks up to *gone*, and the events up to *silent*.
    """

    newest: int
    said: list[tuple[int, bytes | None, str, str, dict[str, Any]]] = field(default_factory=list)
    gone: int = 0
    silent: int = 0

    async def status(self) -> Any:
        return SimpleNamespace(height=self.newest)

    async def block(self, height: int) -> Any:
        self._refuse_below(height, self.gone)
        return SimpleNamespace(time_ms=height * 1000)

    async def events(self, after: str, limit: int, *, account: bytes) -> Any:
        height, count = map(int, after.split("."))
        self._refuse_below(height, self.silent)
        places = [(h, n) for h in range(1, self.newest + 1) for n in range(1, sum(e[0] == h for e in self.said) + 1)]
        listed = sorted(self.said, key=lambda event: event[0])
        page = [(p, e) for p, e in zip(places, listed, strict=True) if p > (height, count)][:limit]
        found = [SimpleNamespace(height=e[0], transaction=e[1], module=e[2], name=e[3], values=e[4]) for _, e in page]
        end = f"{page[-1][0][0]}.{page[-1][0][1]}" if len(page) == limit else f"{self.newest + 1}.0"
        return SimpleNamespace(events=found, next=end)

    def _refuse_below(self, height: int, given_up: int) -> None:
        if height <= given_up:
            raise RefusedError(
                Problem(type="about:blank", title="Gone", status=410, detail="ask another", code="pruned")
            )


def order(height: int, account: str = USER, fee: int = 5, transaction: bytes | None = b"t") -> Any:
    values = {"account": account, "meter": METER, "order": ORDER, "fee_aaip": str(fee)}
    return height, transaction, "market", "order_created", values


@pytest.mark.parametrize(
    "lie", [{"fee_aaip": "much"}, {"fee_aaip": None}, {"order": "xyz"}, {"meter": 5}, {"account": ...}]
)
def test_a_fee_that_cannot_be_read_is_told_as_the_nodes_fault(lie: dict[str, Any]) -> None:
    height, transaction, module, name, values = order(2)
    told = {key: value for key, value in {**values, **lie}.items() if value is not ...}
    with pytest.raises(MalformedError, match=r"unreadable order fee in block 2 .*ask another node"):
        asyncio.run(read_fees(Answers(9, [(height, transaction, module, name, told)]), USER, 0, 8000))


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_fees_of_the_account_and_span_are_found_once(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billed_fees, "PAGE", page)
    call = (6, b"c", "money", "fee_paid", {"account": USER, "amount_aaip": "3"})
    moved = (6, b"m", "money", "transferred", {"account": USER, "amount_aaip": "4"})
    said = [order(2), order(4), order(5, OTHER), order(5, fee=0), moved, call, order(7, transaction=None), order(8)]
    fees = asyncio.run(read_fees(Answers(9, said), USER, 3500, 8000))
    known = (
        Fee("order fee", USER, 4000, 4, b"t", METER, ORDER, 5),
        Fee("call fee", USER, 6000, 6, b"c", "", "", 3),
        Fee("order fee", USER, 7000, 7, None, METER, ORDER, 5),
    )
    assert fees == Fees(known, are_all=True)


@pytest.mark.parametrize("span", [(0, 1000), (50_000, 60_000)])
def test_a_span_before_or_after_all_blocks_has_none(span: tuple[int, int]) -> None:
    assert asyncio.run(read_fees(Answers(9, [order(4)]), USER, *span)) == Fees((), are_all=True)


@pytest.mark.parametrize(
    ("gone", "silent", "heights", "are_all"),
    [(2, 0, [4, 8], True), (3, 0, [4, 8], False), (5, 0, [8], False), (0, 5, [], False), (9, 9, [], False)],
)
def test_a_node_that_has_given_up_blocks_of_the_span_says_that_fees_are_missing(
    gone: int, silent: int, heights: list[int], are_all: bool
) -> None:
    answers = Answers(9, [order(2), order(4), order(8)], gone, silent)
    fees = asyncio.run(read_fees(answers, USER, 3500, 8500))
    assert [fee.height for fee in fees.known] == heights
    assert fees.are_all == are_all


def test_an_order_of_before_fees_were_told_is_no_fee() -> None:
    early = (4, b"t", "market", "order_created", {"account": USER, "meter": METER})
    assert asyncio.run(read_fees(Answers(9, [early]), USER, 0, 9000)) == Fees((), are_all=True)


def test_a_fee_stands_in_its_own_receipt_or_it_does_not() -> None:
    named = [("account", USER), ("meter", METER), ("order", ORDER)]
    values = [*([name, bytes.fromhex(value)] for name, value in named), ["fee_aaip", 5]]
    events = cbor.encode([["market", "order_created", values], ["money", "transferred", []]])
    record = ReceiptRecord(b"t", 1, 0, 0, hashlib.sha256(events).digest())
    fee = Fee("order fee", USER, 0, 1, b"t", METER, ORDER, 5)
    assert fee.stands_in(record, events)
    for change in (*CHANGES, {"transaction": b"u"}, {"kind": "call fee"}):
        assert not replace(fee, **change).stands_in(record, events), change
    assert not fee.stands_in(replace(record, effects_hash=bytes(32)), events)


def test_a_fee_that_a_block_took_is_told_by_its_record_or_it_is_not() -> None:
    fee = Fee("order fee", USER, 0, 7, None, METER, ORDER, 5)
    record = FeeRecord(bytes.fromhex(USER), 7, bytes.fromhex(ORDER), bytes.fromhex(METER), 2_000_000, 5)
    assert fee.is_told_by(record)
    for change in (*CHANGES, {"height": 8}, {"kind": "call fee"}):
        assert not replace(fee, **change).is_told_by(record), change


def test_a_fee_that_is_billed_twice_is_refused() -> None:
    fee = Fee("order fee", USER, 0, 1, b"t", METER, ORDER, 5)
    rolled = replace(fee, transaction=None)
    _require_each_once([fee, replace(fee, kind="call fee"), rolled, replace(rolled, order="cc" * 8)])
    for one in (fee, rolled):
        with pytest.raises(BillError, match="twice"):
            _require_each_once([one, replace(one, height=2)])
