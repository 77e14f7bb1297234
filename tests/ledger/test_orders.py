"""Orders while their book is open: what they lock, what a cancellation gives back, and whose slots are whose."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ledger.codes import Code
from ledger.market.book import Side
from ledger.modules import money
from ledger.modules.market import tables
from ledger.modules.market.orders import measure_lock
from ledger.modules.market.tables import EpochRow
from ledger.modules.meters import epoch_key
from tests.ledger.chain_kit import AIP, START_EPOCH, make_chain

E = START_EPOCH + 1
FEE = 5 * 10**15


def test_a_cancelled_order_gives_back_what_it_locked_but_not_the_fee() -> None:
    chain = make_chain()
    meter = chain.add_based_meter("user0", 0)
    account = chain.people["user0"].id
    receipt = chain.must("user0", "market", "create_sell_order", meter.id, E, 3_000_000, 1000)
    values = dict(receipt.events[0].values)
    assert values["order"] == receipt.record.transaction_id[:8]
    locked_aaip = 1000 * (1_000_000 + 4_500_000 - 3_000_000) * 10**9
    assert money.find(chain.state, account) == money.Holding(1000 * AIP - FEE - locked_aaip, locked_aaip)
    chain.must("user0", "market", "cancel_order", values["order"])
    assert money.find(chain.state, account) == money.Holding(1000 * AIP - FEE)
    assert money.find(chain.state, chain.people["grid"].id).balance_aaip == 1000 * AIP + FEE
    assert chain.run("user0", "market", "cancel_order", values["order"]).code is Code.UNKNOWN_ORDER
    assert chain.row(tables.EPOCHS, epoch_key(E)).orders == 0


@pytest.mark.parametrize(("price", "quantity_wh"), [(0, 1), (2_200_000, 100), (10**9, 10**9)])
def test_locks_are_exact_at_every_limit(price: int, quantity_wh: int) -> None:
    book = EpochRow(10**9, 0, 10**9)
    assert measure_lock(book, Side.BUY, price, quantity_wh) == price * quantity_wh * 10**9
    assert measure_lock(book, Side.SELL, price, quantity_wh) == (2 * 10**9 - price) * quantity_wh * 10**9


def test_nobody_takes_the_slots_that_are_somebody_elses_whoever_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve places and four users: three are each user's own; nobody is ever refused one of those."""
    monkeypatch.setattr("ledger.modules.market.orders.MAX_ORDERS_PER_EPOCH", 12)
    chain, random = make_chain(), Random(5)
    live: dict[bytes, str] = {}
    refused: Counter[str] = Counter()
    for number in range(4):
        chain.add_based_meter(f"user{number}", number)
    for _ in range(120):
        user = random.choice([0, 0, 0, 1, 2, 3])
        mine = [order for order, owner in live.items() if owner == f"user{user}"]
        if mine and random.random() < 0.35:
            order = random.choice(mine)
            chain.must(f"user{user}", "market", "cancel_order", order)
            del live[order]
        else:
            receipt = chain.run(f"user{user}", "market", "create_sell_order", chain.meters[user].id, E, 3_000_000, 100)
            if receipt.code is Code.DONE:
                live[receipt.record.transaction_id[:8]] = f"user{user}"
            else:
                assert receipt.code is Code.TOO_MANY_ORDERS
                assert len(mine) >= 3
                refused[f"user{user}"] += 1
        counts = Counter(live.values())
        book = chain.row(tables.EPOCHS, epoch_key(E))
        assert (book.users, book.orders) == (4, len(live))
        assert book.slots_used == sum(min(count, 3) for count in counts.values())
        assert len(live) <= 12
    assert refused


def test_an_order_in_the_first_block_of_its_epoch_comes_too_late() -> None:
    chain = make_chain()
    meter = chain.add_based_meter("user0", 0)
    call = ("market", "create_sell_order", meter.id, E, 3_000_000, 100)
    on_time = chain.block(chain.sign("user0", *call), time_ms=E * 900_000 - 1)
    assert on_time.receipts[0].code is Code.DONE
    assert chain.block(chain.sign("user0", *call), time_ms=E * 900_000).receipts[0].code is Code.GATE_CLOSED
