"""AIP and GRID by themselves: debts are paid first in, first out, and money never runs in circles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codes import Code
from ledger.modules import grid, money
from ledger.modules.grid import GridError
from ledger.modules.money import MoneyError
from ledger.state import Overlay
from tests.ledger.chain_kit import WH, make_chain

A, B, C, G = (bytes([n] * 8) for n in range(4))


@pytest.fixture
def state() -> Overlay:
    return Overlay(make_chain().state)


def holdings(state: Overlay, *accounts: bytes) -> list[tuple[int, int, int]]:
    found = [money.find(state, account) for account in accounts]
    return [(holding.balance_aaip, holding.owes_aaip, holding.claims_aaip) for holding in found]


def test_what_a_payer_lacks_is_owed_and_paid_first_in_first_out(state: Overlay) -> None:
    money.receive(state, A, 10)
    assert money.pay(state, A, B, 15) == 5
    assert money.pay(state, A, C, 7) == 7
    assert money.pay(state, A, B, 3) == 3
    assert holdings(state, A, B, C) == [(0, 15, 0), (10, 0, 8), (0, 0, 7)]
    money.receive(state, A, 9)
    assert holdings(state, A, B, C) == [(0, 6, 0), (15, 0, 3), (4, 0, 3)]
    money.receive(state, A, 100)
    assert holdings(state, A, B, C) == [(94, 0, 0), (18, 0, 0), (7, 0, 0)]
    assert [key for key, _ in state.scan(money.OWED)] == []


def test_debts_to_one_creditor_in_a_row_are_one_row(state: Overlay) -> None:
    for _ in range(5):
        money.pay(state, A, B, 2)
    assert [debt for _, debt in state.scan(money.OWED, A)] == [money.Debt(B, 10)]


def test_a_payment_travels_along_a_chain_of_debts(state: Overlay) -> None:
    money.pay(state, A, G, 10)
    money.pay(state, G, B, 4)
    money.receive(state, A, 6)
    assert holdings(state, A, G, B) == [(0, 4, 0), (2, 0, 4), (4, 0, 0)]


def test_a_debt_is_set_off_against_an_opposite_one(state: Overlay) -> None:
    money.pay(state, G, A, 10)
    money.pay(state, A, G, 25)
    assert holdings(state, A, G) == [(0, 15, 0), (0, 0, 15)]
    money.receive(state, G, 3)
    assert holdings(state, A, G) == [(0, 15, 0), (3, 0, 15)]


def test_released_locks_pay_arrears_first(state: Overlay) -> None:
    money.receive(state, A, 10)
    money.lock(state, A, 10)
    money.pay(state, A, G, 4)
    money.unlock(state, A, 10)
    assert holdings(state, A, G) == [(6, 0, 0), (4, 0, 0)]


def test_paying_oneself_changes_nothing(state: Overlay) -> None:
    assert money.pay(state, A, A, 5) == 0
    assert holdings(state, A) == [(0, 0, 0)]


payments = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.booleans(), st.integers(0, 20), st.integers(0, 12)), max_size=30
)


@given(payments)
def test_money_and_worth_are_conserved_however_users_and_grid_pay_each_other(steps: list) -> None:
    state = Overlay(make_chain().state)
    issued, worth = 0, dict.fromkeys((A, B, C, G), 0)
    for user, is_bill, amount, income in steps:
        payer, payee = (user, G) if is_bill else (G, user)
        money.pay(state, payer, payee, amount)
        money.receive(state, user, income)
        issued += income
        worth[payer] -= amount
        worth[payee] += amount
        worth[user] += income
        found = {account: money.find(state, account) for account in worth}
        assert {account: holding.worth_aaip for account, holding in found.items()} == worth
        assert sum(holding.balance_aaip for holding in found.values()) == issued
        owed = sum(debt.amount_aaip for _, debt in state.scan(money.OWED))
        assert owed == sum(holding.owes_aaip for holding in found.values())
        assert owed == sum(holding.claims_aaip for holding in found.values())
        assert all(not holding.owes_aaip or not holding.balance_aaip for holding in found.values())


def test_a_balance_below_zero_is_a_fault_and_never_a_balance(state: Overlay) -> None:
    with pytest.raises(MoneyError, match="below zero"):
        money.lock(state, A, 1)
    with pytest.raises(MoneyError, match="below zero"):
        money.take_locked(state, A, 1)
    with pytest.raises(GridError, match="would hold -1"):
        grid.burn(state, A, 1)


def test_grid_is_transferred_and_retired_by_its_holder() -> None:
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.to_epoch(chain.epoch + 1)
    chain.report(chain.meters[0].boundary(chain.epoch, 0, 500))
    assert grid.balance(chain.state, chain.people["grid"].id) == 500 * WH
    chain.must("grid", "grid", "transfer", chain.people["user1"].id, 200 * WH)
    chain.must("user1", "grid", "retire", 150 * WH)
    assert grid.balance(chain.state, chain.people["user1"].id) == 50 * WH
    assert grid.supply(chain.state) == grid.Supply(500 * WH, 150 * WH)
    assert chain.run("user1", "grid", "retire", 51 * WH).code is Code.BALANCE_TOO_LOW


def test_among_many_debts_the_opposite_ones_alone_are_set_off_and_no_claim_is_left_behind(state: Overlay) -> None:
    creditors = [bytes([number]) * 8 for number in range(20, 40)]
    for _ in range(2):
        for creditor in creditors:
            money.pay(state, G, creditor, 10)
    money.pay(state, creditors[7], G, 13)
    owed = {debt.creditor: 0 for _, debt in state.scan(money.OWED, G)}
    for _, debt in state.scan(money.OWED, G):
        owed[debt.creditor] += debt.amount_aaip
    assert owed == {creditor: 7 if creditor == creditors[7] else 20 for creditor in creditors}
    debts = {debt.creditor + key for key, debt in state.scan(money.OWED)}
    assert {key for key, _ in state.scan(money.CLAIMS)} == debts
    money.receive(state, G, 400)
    assert not list(state.scan(money.OWED))
    assert not list(state.scan(money.CLAIMS))
