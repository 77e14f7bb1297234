"""A market through several epochs, with real signed readings and every amount worked out by hand."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.execution import Execution
from ledger.modules import grid, meters, money
from ledger.modules.market import tables
from ledger.modules.market.supply import measure_supply
from ledger.modules.meters import epoch_key
from ledger.records import ClearingRecord, LineFlag, SettlementLine
from tests.ledger.chain_kit import AIP, START_EPOCH, WH, Chain, clearings_of, lines_of, make_chain

E = START_EPOCH + 1
NANO = 10**9
"""Price (µAIP per kWh) x Wh in aAIP."""
RETAIL, FEED_IN, PENALTY, FEE = 4_500_000, 2_200_000, 1_000_000, 5 * 10**15


def balance(chain: Chain, name: str) -> int:
    return money.find(chain.state, chain.people[name].id).balance_aaip


def by_meter(execution: Execution) -> dict[bytes, SettlementLine]:
    return {line.meter: line for line in lines_of(execution)}


@pytest.fixture
def market() -> Chain:
    """user0 sells with meter 0; user1 and user2 buy with meters 1 and 2; user3 has no meter."""
    chain = make_chain()
    for number in range(3):
        chain.add_based_meter(f"user{number}", number, import_wh=1000, export_wh=5000)
    return chain


def trade(chain: Chain) -> None:
    """Sell 1000 Wh at 3.0, buy 600 at 4.0 and 400 at 3.5: 1000 Wh match, price midpoint of [3.0, 3.5] = 3.25."""
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, E, 3_000_000, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, E, 4_000_000, 600)
    chain.must("user2", "market", "create_buy_order", chain.meters[2].id, E, 3_500_000, 400)


def report_at(chain: Chain, epoch: int, *registers: tuple[int, int]) -> list[Code]:
    readings = [meter.boundary(epoch, *values) for meter, values in zip(chain.meters, registers, strict=False)]
    return chain.report(*readings)


def test_an_epoch_settles_to_the_amounts_worked_out_by_hand(market: Chain) -> None:
    trade(market)
    locked = (1000 * (PENALTY + RETAIL - 3_000_000)) * NANO
    assert money.find(market.state, market.people["user0"].id).locked_aaip == locked
    assert balance(market, "user0") == 1000 * AIP - locked - FEE
    cleared = market.to_epoch(E)
    (clearing,) = clearings_of(cleared)
    assert clearing == ClearingRecord(E, 3_250_000, 1000, 3, clearing.book_hash)
    # released at once: the buyers' locks shrink to price x fill, the deposit to (penalty + retail - price) x fill
    assert money.find(market.state, market.people["user1"].id).locked_aaip == 600 * 3_250_000 * NANO
    assert money.find(market.state, market.people["user0"].id).locked_aaip == 1000 * 2_250_000 * NANO

    # E - 1: nothing moves; at E + 1: user0 exported 900 of 1000 and imported 10; user1 used 700, user2 used 300 of 400
    assert report_at(market, E, (1000, 5000), (1000, 5000), (1000, 5000)) == [Code.DONE] * 3
    market.to_epoch(E + 1)
    assert report_at(market, E + 1, (1010, 5900), (1700, 5000), (1300, 5000)) == [Code.DONE] * 3
    lines = by_meter(market.executions[-1])
    assert len(lines) == 3

    seller = lines[market.meters[0].id]
    assert (seller.export_wh, seller.sold_wh, seller.delivered_wh) == (900, 1000, 900)
    assert seller.market_income_aaip == 900 * 3_250_000 * NANO
    assert seller.grid_cost_aaip == (10 * RETAIL + 100 * (RETAIL - 3_250_000)) * NANO
    assert seller.penalty_aaip == 100 * PENALTY * NANO
    assert (seller.minted_agrid, seller.burned_agrid) == (900 * WH, 0)

    # 900 delivered over purchases of 600 and 400: 540 and 360
    first, second = lines[market.meters[1].id], lines[market.meters[2].id]
    assert (first.received_wh, second.received_wh) == (540, 360)
    assert first.market_cost_aaip == 600 * 3_250_000 * NANO
    assert first.grid_cost_aaip == 100 * RETAIL * NANO
    assert (first.burned_agrid, second.burned_agrid) == (540 * WH, 300 * WH)
    assert second.market_cost_aaip == 400 * 3_250_000 * NANO
    assert second.grid_income_aaip == 100 * FEED_IN * NANO

    seller_net = 900 * 3_250_000 - 10 * RETAIL - 100 * (RETAIL - 3_250_000) - 100 * PENALTY
    first_net = -600 * 3_250_000 - 100 * RETAIL
    second_net = -400 * 3_250_000 + 100 * FEED_IN
    assert balance(market, "user0") == 1000 * AIP - FEE + seller_net * NANO
    assert balance(market, "user1") == 1000 * AIP - FEE + first_net * NANO
    assert balance(market, "user2") == 1000 * AIP - FEE + second_net * NANO
    assert balance(market, "grid") == 1000 * AIP + 3 * FEE - (seller_net + first_net + second_net) * NANO
    # 900 minted, 840 burned; user2's unused 60 went to the grid account
    assert grid.balance(market.state, market.people["grid"].id) == 60 * WH
    supply = measure_supply(market.state)
    assert (supply.grid_minted_agrid, supply.grid_burned_agrid) == (900 * WH, 840 * WH)
    assert supply.locked_aaip == 0
    row = market.row(tables.EPOCHS, epoch_key(E))
    assert (row.import_wh, row.export_wh, row.grid_supplied_wh, row.grid_absorbed_wh) == (1010, 900, 210, 100)


def test_the_lines_name_the_very_readings_and_the_meter_key(market: Chain) -> None:
    trade(market)
    market.to_epoch(E)
    first = [meter.boundary(E, 1000, 5000) for meter in market.meters]
    market.report(*first)
    market.to_epoch(E + 1)
    last = [meter.boundary(E + 1, 1000, 6000) for meter in market.meters]
    market.report(*last)
    import hashlib

    for place, meter in enumerate(market.meters):
        line = by_meter(market.executions[-1])[meter.id]
        assert line.first_reading == hashlib.sha256(first[place]).digest()
        assert line.last_reading == hashlib.sha256(last[place]).digest()
        assert line.key_thumbprint == hashlib.sha256(meter.key.public_key).digest()
        assert line.account == meter.owner.id


def test_a_buyer_pays_the_same_whether_or_not_the_seller_delivers(market: Chain) -> None:
    costs = []
    for exported in (1000, 0):
        chain = make_chain()
        for number in range(3):
            chain.add_based_meter(f"user{number}", number, import_wh=1000, export_wh=5000)
        trade(chain)
        chain.to_epoch(E)
        report_at(chain, E, (1000, 5000), (1000, 5000), (1000, 5000))
        chain.to_epoch(E + 1)
        report_at(chain, E + 1, (1000, 5000 + exported), (1200, 5000), (1400, 5000))
        costs.append((balance(chain, "user1"), balance(chain, "user2")))
    assert costs[0] == costs[1]


def test_an_epoch_waits_for_a_missing_meter_until_its_deadline(market: Chain) -> None:
    trade(market)
    market.to_epoch(E)
    report_at(market, E, (1000, 5000), (1000, 5000), (1000, 5000))
    market.to_epoch(E + 1)
    report_at(market, E + 1, (1000, 6000), (1600, 5000))
    assert not by_meter(market.executions[-1])
    deadline_s = 21_600
    assert market.runtime.next_due_ms(market.state) == ((E + 2 - 1) * 900 + deadline_s) * 1000
    market.to_epoch(E + 1, offset_s=deadline_s)
    assert not by_meter(market.executions[-1])  # the time has come, the hundred blocks have not
    closed = market.executions[-3].header.height
    while market.state.header.height < closed + 99:
        assert not by_meter(market.block())
    lines = by_meter(market.block())
    missing = lines[market.meters[2].id]
    assert missing.flags == LineFlag.NOT_REPORTED
    assert (missing.first_reading, missing.last_reading) == (None, None)
    # what it bought is resold at feed-in, its GRID goes to the grid account; its import will be billed as a gap
    assert (missing.bought_wh, missing.received_wh, missing.burned_agrid) == (400, 400, 0)
    assert missing.grid_income_aaip == 400 * FEED_IN * NANO
    now = market.epoch
    assert market.report(market.meters[2].boundary(now, 1900, 5000)) == [Code.DONE]
    gap = by_meter(market.executions[-1])[market.meters[2].id]
    assert gap.flags == LineFlag.GAP
    assert (gap.epoch, gap.import_wh, gap.grid_cost_aaip) == (now - 1, 900, 900 * RETAIL * NANO)


def test_a_meter_without_readings_never_gains_by_withholding_them(market: Chain) -> None:
    """The same export, reported in time or withheld past the deadline: late is worth the same once it is corrected."""
    worth, flags = [], []
    for late in (False, True):
        chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
        for number in range(3):
            chain.add_based_meter(f"user{number}", number, import_wh=1000, export_wh=5000)
        trade(chain)
        chain.to_epoch(E)
        report_at(chain, E, (1000, 5000), (1000, 5000), (1000, 5000))
        final = chain.meters[0].boundary(E + 1, 1000, 6000)
        chain.to_epoch(E + 1, *([] if late else [chain.sign("gateway", "market", "report_intervals", [final])]))
        for _ in range(3):
            chain.block()
        chain.report(final)
        worth.append(money.find(chain.state, chain.people["user0"].id).worth_aaip)
        flags += [line.flags for line in lines_of(chain.executions[-1])]
        assert money.find(chain.state, chain.people["user0"].id).locked_aaip == 0
    assert worth[1] == worth[0]
    assert flags == [LineFlag.GAP, LineFlag.GAP | LineFlag.CORRECTION]  # what comes late serves no order of its epoch


def test_a_debtor_without_money_owes_and_pays_later_first_in_first_out() -> None:
    chain = make_chain(balance_aaip=2 * FEE)
    meter = chain.add_based_meter("user0", 0)
    chain.to_epoch(E)
    chain.report(meter.boundary(E, 100, 0))  # 100 Wh x 4.5 AIP/kWh = 0.45 AIP: user0 has 0.010
    holding = money.find(chain.state, meter.owner.id)
    assert holding.balance_aaip == 0
    assert holding.owes_aaip == 100 * RETAIL * NANO - 2 * FEE
    assert [row for _, row in chain.state.scan(money.OWED)] == [money.Debt(chain.people["grid"].id, holding.owes_aaip)]
    assert chain.run("user0", "money", "transfer", chain.people["user1"].id, 1).code is Code.IN_ARREARS
    before = balance(chain, "grid")
    chain.must("user1", "money", "transfer", meter.owner.id, FEE)
    assert balance(chain, "grid") == before + FEE
    assert money.find(chain.state, meter.owner.id).owes_aaip == holding.owes_aaip - FEE


def test_a_grid_account_without_money_owes_its_feed_in_and_what_comes_in_pays_it() -> None:
    chain = make_chain(balance_aaip=0)
    first = chain.add_based_meter("user0", 0)
    chain.to_epoch(E)
    chain.report(first.boundary(E, 0, 200))
    assert money.find(chain.state, chain.people["grid"].id).owes_aaip == 200 * FEED_IN * NANO
    chain.to_epoch(E + 1)
    chain.report(first.boundary(E + 1, 50, 200))  # a bill of 50 x retail is set off against the claim
    holding = money.find(chain.state, first.owner.id)
    assert holding.claims_aaip == (200 * FEED_IN - 50 * RETAIL) * NANO
    assert (holding.balance_aaip, holding.owes_aaip) == (0, 0)


def test_orders_without_a_match_give_everything_back_but_the_fee(market: Chain) -> None:
    market.must("user0", "market", "create_sell_order", market.meters[0].id, E, 4_000_000, 1000)
    market.must("user1", "market", "create_buy_order", market.meters[1].id, E, 3_000_000, 1000)
    (cleared,) = clearings_of(market.to_epoch(E))
    assert (cleared.price_uaip_per_kwh, cleared.matched_wh, cleared.orders) == (None, 0, 2)
    assert balance(market, "user0") == balance(market, "user1") == 1000 * AIP - FEE


def test_received_energy_is_shared_by_largest_remainder_with_ties_to_the_earlier_order(market: Chain) -> None:
    market.must("user2", "market", "create_buy_order", market.meters[2].id, E, 4_000_000, 500)
    market.must("user1", "market", "create_buy_order", market.meters[1].id, E, 4_000_000, 500)
    market.must("user0", "market", "create_sell_order", market.meters[0].id, E, 3_000_000, 1000)
    market.to_epoch(E)
    report_at(market, E, (1000, 5000), (1000, 5000), (1000, 5000))
    market.to_epoch(E + 1)
    report_at(market, E + 1, (1000, 5333), (2000, 5000), (2000, 5000))
    lines = by_meter(market.executions[-1])
    assert lines[market.meters[2].id].received_wh == 167
    assert lines[market.meters[1].id].received_wh == 166


def test_books_and_deadlines_beyond_one_block_are_carried_over_to_the_next() -> None:
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    for epoch in range(E, E + 6):
        chain.must("user0", "market", "create_sell_order", chain.meters[0].id, epoch, 3_000_000, 100)
        chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch, 3_000_000, 100)
    first = chain.to_epoch(E + 10)
    assert [clearing.epoch for clearing in clearings_of(first)] == [E, E + 1, E + 2, E + 3]
    due_ms = chain.runtime.next_due_ms(chain.state)
    assert due_ms is not None
    assert due_ms <= chain.state.header.time_ms
    executions = [first, *(chain.block() for _ in range(4))]
    cleared = {clearing.epoch for execution in executions for clearing in clearings_of(execution)}
    settled = {line.epoch for execution in executions for line in lines_of(execution)}
    assert cleared == settled == set(range(E, E + 6))
    assert chain.runtime.next_due_ms(chain.state) is None
    assert tables.read_clock(chain.state).next_settle == E + 10


def test_old_books_are_forgotten_and_their_epochs_kept(market: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.modules.market.retention.RETAINED_BOOKS", 1)
    trade(market)
    market.to_epoch(E)
    report_at(market, E, (1000, 5000), (1000, 5000), (1000, 5000))
    for epoch in (E + 1, E + 2):
        assert len(list(market.state.scan(tables.ORDERS))) == 3
        market.to_epoch(epoch)
        report_at(market, epoch, (1000, 5000), (1000, 5000), (1000, 5000))
    assert not list(market.state.scan(tables.ORDERS))
    assert not list(market.state.scan(tables.ORDER_PLACES))
    assert market.row(tables.EPOCHS, epoch_key(E)).matched_wh == 1000
    assert meters.first_unreported_epoch(market.state) == E + 2


def play_large_books() -> Chain:
    """Three books of two orders each, all due at once; six blocks."""
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    for epoch in range(E, E + 3):
        chain.must("user0", "market", "create_sell_order", chain.meters[0].id, epoch, 3_000_000, 100)
        chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch, 3_000_000, 100)
    chain.to_epoch(E + 10)
    for _ in range(5):
        chain.block()
    return chain


def test_large_books_are_cleared_and_settled_one_a_block_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Chain.block` holds money, GRID and energy against the tables after each block of the carried-over work, too."""
    at_once = play_large_books()
    monkeypatch.setattr(tables, "MAX_HOOK_WORK_PER_BLOCK", 2)
    carried = play_large_books()
    cleared = [[clearing.epoch for clearing in clearings_of(execution)] for execution in carried.executions[-6:]]
    settled = [sorted({line.epoch for line in lines_of(execution)}) for execution in carried.executions[-6:]]
    assert cleared == [[E], [E + 1], [E + 2], [], [], []]
    assert settled == [[], [], [], [E], [E + 1], [E + 2]]
    assert lines_of(at_once.executions[-6]) + lines_of(at_once.executions[-5]) == [
        line for execution in carried.executions for line in lines_of(execution)
    ]
    for name in ("user0", "user1", "grid"):
        assert balance(carried, name) == balance(at_once, name)


def test_an_owner_who_keeps_the_surplus_forgoes_the_payment_and_holds_the_grid(market: Chain) -> None:
    trade(market)
    assert market.run("user1", "market", "keep_surplus", market.meters[0].id, True).code is Code.NOT_METER_OWNER
    market.must("user0", "market", "keep_surplus", market.meters[0].id, True)
    market.to_epoch(E)
    report_at(market, E, (1000, 5000), (1000, 5000), (1000, 5000))
    market.to_epoch(E + 1)
    report_at(market, E + 1, (1000, 6300), (1600, 5000), (1400, 5000))
    line = by_meter(market.executions[-1])[market.meters[0].id]
    assert (line.export_wh, line.delivered_wh, line.flags) == (1300, 1000, LineFlag.KEPT)
    assert line.grid_income_aaip == 0
    assert grid.balance(market.state, market.people["user0"].id) == 300 * WH
    assert grid.balance(market.state, market.people["grid"].id) == 0
    assert market.row(tables.EPOCHS, epoch_key(E)).grid_absorbed_wh == 300
    market.must("user0", "grid", "retire", 300 * WH)
    market.must("user0", "market", "keep_surplus", market.meters[0].id, False)
    market.to_epoch(E + 2)
    report_at(market, E + 2, (1000, 6400), (1600, 5000), (1400, 5000))
    assert by_meter(market.executions[-1])[market.meters[0].id].grid_income_aaip == 100 * FEED_IN * NANO


def test_the_blocks_of_a_deadline_are_counted_for_each_epoch_by_itself() -> None:
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=3)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    for epoch in (E, E + 1):
        chain.must("user0", "market", "create_sell_order", chain.meters[0].id, epoch, 3_000_000, 100)
        chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch, 3_000_000, 100)
    executions = [chain.to_epoch(E + 1), chain.to_epoch(E + 2), *(chain.block() for _ in range(3))]
    settled = [{line.epoch for line in lines_of(execution)} for execution in executions]
    assert settled == [set(), set(), set(), {E}, {E + 1}]
