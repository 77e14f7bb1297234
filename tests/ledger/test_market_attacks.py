"""Attacks on the market, each played beside its honest twin: the attacker's account is worth no more for it."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.modules import money
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, lines_of, make_chain

E = START_EPOCH + 1
NANO = 10**9
RETAIL, FEED_IN, PENALTY, FEE = 4_500_000, 2_200_000, 1_000_000, 5 * 10**15
Registers = tuple[int, int]


def open_market(users: int = 3, **parameters: int) -> Chain:
    """Give users 0 to *users* - 1 a meter each, at 1000 Wh import and 5000 Wh export."""
    chain = make_chain(users=max(4, users), **parameters)
    for number in range(users):
        chain.add_based_meter(f"user{number}", number, import_wh=1000, export_wh=5000)
    return chain


def sell(chain: Chain, number: int, price: int, quantity_wh: int) -> None:
    chain.must(f"user{number}", "market", "create_sell_order", chain.meters[number].id, E, price, quantity_wh)


def buy(chain: Chain, number: int, price: int, quantity_wh: int) -> None:
    chain.must(f"user{number}", "market", "create_buy_order", chain.meters[number].id, E, price, quantity_wh)


def settle(chain: Chain, *last: Registers) -> None:
    """Report E's two boundaries; at its end the registers stand at *last*."""
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 1000, 5000) for meter in chain.meters))
    chain.to_epoch(E + 1)
    readings = (meter.boundary(E + 1, *registers) for meter, registers in zip(chain.meters, last, strict=True))
    assert set(chain.report(*readings)) == {Code.DONE}


def worth(chain: Chain, *numbers: int) -> int:
    return sum(money.find(chain.state, chain.people[f"user{number}"].id).worth_aaip for number in numbers)


@pytest.mark.parametrize("bought_wh", [0, 500])
@pytest.mark.parametrize("imported_wh", [0, 300, 900])
def test_a_buyer_gains_nothing_by_withholding_readings(bought_wh: int, imported_wh: int) -> None:
    results = []
    for is_late in (False, True):
        chain = open_market(2, settle_deadline_s=0, settle_deadline_blocks=1)
        if bought_wh:
            sell(chain, 0, 3_000_000, 1000)
            buy(chain, 1, 4_000_000, bought_wh)
        chain.to_epoch(E)
        chain.report(*(meter.boundary(E, 1000, 5000) for meter in chain.meters))
        ends = [chain.meters[0].boundary(E + 1, 1000, 6000), chain.meters[1].boundary(E + 1, 1000 + imported_wh, 5000)]
        chain.to_epoch(E + 1, chain.sign("gateway", "market", "report_intervals", ends[: 1 if is_late else 2]))
        for _ in range(3):
            chain.block()
        chain.report(ends[1])
        assert sum(line.import_wh for one in chain.executions for line in lines_of(one)) == imported_wh
        results.append(worth(chain, 1))
    assert results[1] <= results[0]


@pytest.mark.parametrize("price", [FEED_IN, 3_000_000, RETAIL])
def test_selling_at_any_price_what_one_does_not_deliver_costs_the_penalty_and_more(price: int) -> None:
    chain = open_market(2)
    before = worth(chain, 0)
    sell(chain, 0, price, 1000)
    buy(chain, 1, price, 1000)
    settle(chain, (1000, 5000), (2000, 5000))
    assert worth(chain, 0) == before - FEE - 1000 * (RETAIL - price + PENALTY) * NANO


def test_selling_dear_and_delivering_elsewhere_is_worth_less_than_delivering() -> None:
    """Half of what was sold is delivered: each missing Wh costs retail, price aside, and the penalty."""
    results = []
    for exported_wh in (1000, 500):
        chain = open_market(2)
        sell(chain, 0, 4_400_000, 1000)
        buy(chain, 1, RETAIL, 1000)
        settle(chain, (1000, 5000 + exported_wh), (2000, 5000))
        results.append(worth(chain, 0) + (1000 - exported_wh) * RETAIL * NANO)  # used at home instead of bought
    assert results[1] < results[0]


@pytest.mark.parametrize("shift_s", [-10, 10, 300, EPOCH_S])
def test_a_meter_with_a_shifted_clock_moves_no_energy_into_another_epoch(shift_s: int) -> None:
    chain = open_market(2)
    sell(chain, 0, 3_000_000, 1000)
    buy(chain, 1, 4_000_000, 1000)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 1000, 5000) for meter in chain.meters))
    chain.to_epoch(E + 1, offset_s=20)
    shifted = chain.meters[0].boundary(E + 1, 1000, 6000, time=(E + 1) * EPOCH_S + shift_s)
    (code,) = chain.report(shifted)
    assert code is not Code.DONE
    assert not [line for line in lines_of(chain.executions[-1]) if line.meter == chain.meters[0].id]


def test_splitting_an_order_brings_at_most_one_wh_for_each_part_more() -> None:
    """Two bid at one price for what does not suffice; only single Wh go by remainders. Each part costs its own fee."""
    fills = []
    for parts in (1, 5):
        chain = open_market(3)
        sell(chain, 0, 3_000_000, 999)
        for _ in range(parts):
            buy(chain, 1, 4_000_000, 1000 // parts)
        buy(chain, 2, 4_000_000, 1000)
        settle(chain, (1000, 6000), (2000, 5000), (2000, 5000))
        fills.append({line.account: line.bought_wh for line in lines_of(chain.executions[-1])})
    one = chain.people["user1"].id
    assert abs(fills[1][one] - fills[0][one]) <= 4
    assert FEE > (RETAIL - FEED_IN) * NANO  # what a Wh more can be worth


def test_several_accounts_of_one_person_get_together_what_one_account_gets() -> None:
    results = []
    for accounts in ((1,), (1, 2, 3)):
        chain = open_market(5)
        sell(chain, 0, 3_000_000, 1000)
        for number in accounts:
            buy(chain, number, 4_000_000, 1200 // len(accounts))
        buy(chain, 4, 4_000_000, 1200)
        chain.to_epoch(E)
        chain.report(*(meter.boundary(E, 1000, 5000) for meter in chain.meters))
        chain.to_epoch(E + 1)
        chain.report(*(meter.boundary(E + 1, 1000, 6000) for meter in chain.meters))
        owners = {chain.people[f"user{number}"].id for number in accounts}
        results.append(sum(line.bought_wh for line in lines_of(chain.executions[-1]) if line.account in owners))
    assert abs(results[1] - results[0]) <= 2


def test_inflating_a_purchase_beyond_what_one_uses_loses_price_less_feed_in_on_every_wh() -> None:
    results = []
    for quantity_wh in (500, 1000):
        chain = open_market(2)
        sell(chain, 0, 3_000_000, 1500)  # more than is asked for, so that the price is 3 either way
        buy(chain, 1, 4_000_000, quantity_wh)
        settle(chain, (1000, 6500), (1500, 5000))
        results.append(worth(chain, 1))
    assert results[1] == results[0] - 500 * (3_000_000 - FEED_IN) * NANO


def test_no_meter_orders_more_than_its_rated_power_yields_however_it_is_split() -> None:
    chain = open_market(1)
    sell(chain, 0, 3_000_000, 2000)
    receipt = chain.run("user0", "market", "create_sell_order", chain.meters[0].id, E, 3_000_000, 501)
    assert receipt.code is Code.ABOVE_RATED_POWER
    sell(chain, 0, 3_000_000, 500)


def test_spam_hurries_no_deadline_and_an_outage_neither() -> None:
    """Both the time and the blocks must have passed: blocks alone are an attacker's, time alone an outage's."""
    chain = open_market(2, settle_deadline_s=600, settle_deadline_blocks=20)
    sell(chain, 0, 3_000_000, 1000)
    buy(chain, 1, 4_000_000, 1000)
    chain.to_epoch(E)
    chain.to_epoch(E + 1)
    for _ in range(40):
        assert not lines_of(chain.block(chain.sign("user0", "money", "transfer", chain.people["user1"].id, 1)))
    assert lines_of(chain.to_epoch(E + 1, offset_s=600))
    outage = open_market(2, settle_deadline_s=600, settle_deadline_blocks=20)
    sell(outage, 0, 3_000_000, 1000)
    buy(outage, 1, 4_000_000, 1000)
    outage.to_epoch(E)
    assert not lines_of(outage.to_epoch(E + 5))
    assert not any(lines_of(outage.block()) for _ in range(19))
    assert lines_of(outage.block())
