"""Orders whose unfilled rest goes into the next book: quantity, fee, checks, end, and whose they are."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.execution import Execution
from ledger.modules import money
from ledger.modules.market.tables import ORDERS, ROLLOVERS, OrderRow
from ledger.modules.meters import epoch_key
from ledger.records import FeeRecord
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, make_chain
from tests.ledger.reached_by_registry import make_agent

E = START_EPOCH + 1
FEE = make_chain().genesis.parameters.order_fee_aaip


def open_market() -> Chain:
    chain = make_chain()
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    return chain


def order(chain: Chain, who: str, side: str, number: int, wh: int, price: int = 3_000_000, epoch: int = E) -> bytes:
    receipt = chain.must(who, "market", f"create_{side}_order", chain.meters[number].id, epoch, price, wh)
    return receipt.record.transaction_id[:8]


def book(chain: Chain, epoch: int) -> list[OrderRow]:
    return [row for _, row in chain.state.scan(ORDERS, epoch_key(epoch))]


def events(execution: Execution, name: str) -> list[dict[str, object]]:
    return [dict(event.values) for event in execution.events if event.name == name]


def test_the_rest_of_an_order_rolls_on_until_it_is_filled_or_its_last_epoch_is_over() -> None:
    chain = open_market()
    buy = order(chain, "user1", "buy", 1, 1000)
    order(chain, "user0", "sell", 0, 400)
    chain.must("user1", "market", "roll_over", buy, E + 2)
    before = money.find(chain.state, chain.people["user1"].id).worth_aaip
    (rolled,) = events(chain.to_epoch(E), "rolled_over")
    assert (rolled["order"], rolled["epoch"], rolled["quantity_wh"]) == (buy, E + 1, 600)
    (row,) = book(chain, E + 1)
    assert (row.id, row.side, row.quantity_wh, row.price_uaip_per_kwh) == (rolled["new_order"], "buy", 600, 3_000_000)
    user = chain.people["user1"].id
    assert money.find(chain.state, user).worth_aaip == before - FEE
    fees = [one.record for one in chain.executions[-1].records if isinstance(one.record, FeeRecord)]
    assert fees == [FeeRecord(user, chain.state.header.height, row.id, chain.meters[1].id, E + 1, FEE)]
    chain.to_epoch(E + 1)
    assert [row.quantity_wh for row in book(chain, E + 2)] == [600]
    chain.to_epoch(E + 2)
    assert not book(chain, E + 3)
    assert not list(chain.state.scan(ROLLOVERS))


def test_orders_that_roll_over_have_places_of_their_own_among_later_ones() -> None:
    chain = open_market()
    for _ in range(3):
        chain.must("user1", "market", "roll_over", order(chain, "user1", "buy", 1, 100), E + 1)
    chain.to_epoch(E)
    order(chain, "user1", "buy", 1, 100, epoch=E + 1)
    assert len(book(chain, E + 1)) == len({row.sequence for row in book(chain, E + 1)}) == 4


def test_a_filled_or_cancelled_order_does_not_roll_and_the_wish_can_be_taken_back() -> None:
    chain = open_market()
    for wanted in ("filled", "cancelled", "taken back"):
        epoch = chain.epoch + 1
        buy = order(chain, "user1", "buy", 1, 400, epoch=epoch)
        chain.must("user1", "market", "roll_over", buy, epoch + 5)
        if wanted == "filled":
            order(chain, "user0", "sell", 0, 400, epoch=epoch)
        elif wanted == "cancelled":
            chain.must("user1", "market", "cancel_order", buy)
        else:
            chain.must("user1", "market", "roll_over", buy, epoch)
        chain.to_epoch(epoch)
        assert not book(chain, epoch + 1), wanted
        assert not list(chain.state.scan(ROLLOVERS))


def test_an_entry_that_is_refused_ends_it_and_says_why() -> None:
    chain = open_market()
    buy = order(chain, "user1", "buy", 1, 1000)
    chain.must("user1", "market", "roll_over", buy, E + 5)
    order(chain, "user1", "buy", 1, 2000, epoch=E + 1)  # 10 kW yield 2500 Wh: there is no room for 1000 more
    (ended,) = events(chain.to_epoch(E), "rollover_ended")
    assert ended == {"order": buy, "code": int(Code.ABOVE_RATED_POWER)}
    assert len(book(chain, E + 1)) == 1


def test_a_user_who_may_no_longer_trade_rolls_nothing_over() -> None:
    chain = open_market()
    buy = order(chain, "user1", "buy", 1, 1000)
    chain.must("user1", "market", "roll_over", buy, E + 5)
    chain.must("admin", "registry", "suspend_user", chain.people["user1"].id)
    (ended,) = events(chain.to_epoch(E), "rollover_ended")
    assert ended["code"] == Code.USER_NOT_VERIFIED


def test_an_agents_order_rolls_within_the_agents_limit_of_each_epoch() -> None:
    chain = open_market()
    make_agent(chain, until_s=10**6)
    buy = order(chain, "agent", "buy", 0, 100)
    chain.must("agent", "market", "roll_over", buy, E + 5)
    (rolled,) = events(chain.to_epoch(E), "rolled_over")
    (row,) = book(chain, E + 1)
    assert row.id == rolled["new_order"]
    chain.must("user0", "registry", "end_delegation", chain.people["agent"].id)
    (ended,) = events(chain.to_epoch(E + 1), "rollover_ended")
    assert ended["code"] == Code.NO_DELEGATION


def test_an_agent_rolls_no_order_that_its_user_made() -> None:
    """It would spend for a week what no limit of an agent counts."""
    chain = open_market()
    make_agent(chain, until_s=10**6)
    buy = order(chain, "user0", "buy", 0, 100)
    assert chain.run("agent", "market", "roll_over", buy, E + 5).code is Code.NOT_ORDER_OWNER
    chain.to_epoch(E)
    assert not book(chain, E + 1)


def test_orders_roll_in_the_order_in_which_they_were_entered() -> None:
    """Their ids could be tried out until one comes first: ties go to the earlier order."""
    chain = open_market()
    quantities = list(range(100, 108))
    for wh in quantities:
        chain.must("user1", "market", "roll_over", order(chain, "user1", "buy", 1, wh), E + 1)
    chain.to_epoch(E)
    rolled = sorted(book(chain, E + 1), key=lambda row: row.sequence)
    assert [row.quantity_wh for row in rolled] == quantities


def test_a_block_rolls_no_more_than_its_hooks_may_do_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = open_market()
    for wh in range(100, 108):
        chain.must("user1", "market", "roll_over", order(chain, "user1", "buy", 1, wh), E + 1)
    monkeypatch.setattr("ledger.modules.market.tables.MAX_HOOK_WORK_PER_BLOCK", 3)
    chain.to_epoch(E)  # clearing alone takes all of it
    assert not book(chain, E + 1)
    assert chain.runtime.next_due_ms(chain.state) == E * EPOCH_S * 1000
    for rolled in (3, 6, 8):
        chain.block()
        assert [row.quantity_wh for row in book(chain, E + 1)] == list(range(100, 100 + rolled))
    assert not list(chain.state.scan(ROLLOVERS))


def test_after_an_outage_the_rest_goes_into_the_first_open_book() -> None:
    chain = open_market()
    buy = order(chain, "user1", "buy", 1, 1000)
    chain.must("user1", "market", "roll_over", buy, E + 10)
    chain.to_epoch(E + 4)
    assert [row.quantity_wh for row in book(chain, E + 5)] == [1000]


def test_only_its_owner_and_only_before_the_gate_closes() -> None:
    chain = open_market()
    buy = order(chain, "user1", "buy", 1, 1000)
    assert chain.run("user0", "market", "roll_over", buy, E + 1).code is Code.NOT_ORDER_OWNER
    assert chain.run("user1", "market", "roll_over", buy, E + 673).code is Code.EPOCH_TOO_FAR
    chain.to_epoch(E)
    assert chain.run("user1", "market", "roll_over", buy, E + 1).code is Code.GATE_CLOSED
