"""GRID and AIP as tokens (PSP22): what they are called, who may move what, and that nothing appears or vanishes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codes import Code
from ledger.modules import MODULES, grid, money
from tests.ledger.chain_kit import AIP, WH, Chain, make_chain
from tests.ledger.code_kit import E, buy, must_refuse

PSP22_CALLS = {"transfer", "transfer_from", "approve", "increase_allowance", "decrease_allowance"}
PSP22_QUERIES = {"name", "symbol", "decimals", "total_supply", "balance_of", "allowance"}
TOKENS = ("grid", "money")


@pytest.fixture
def chain() -> Chain:
    """Return a chain where the grid account holds 500 Wh of GRID and everybody 1,000 AIP."""
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.to_epoch(E)
    chain.report(chain.meters[0].boundary(E, 0, 500))
    return chain


@pytest.mark.parametrize("name", TOKENS)
def test_both_tokens_have_the_whole_surface_of_psp22_and_no_call_that_mints(name: str) -> None:
    module = next(module for module in MODULES if module.name == name)
    assert set(module.calls) >= PSP22_CALLS
    assert set(module.queries) >= PSP22_QUERIES
    assert set(module.calls) - PSP22_CALLS == ({"retire"} if name == "grid" else {"issue", "redeem"})


def test_the_tokens_say_what_they_are(chain: Chain) -> None:
    assert [chain.ask("grid", query) for query in ("name", "symbol", "decimals")] == ["campusgrid energy", "GRID", 18]
    assert [chain.ask("money", query) for query in ("name", "symbol", "decimals")] == ["campusgrid money", "AIP", 18]
    assert chain.ask("grid", "total_supply") == 500 * WH == chain.ask("grid", "balance_of", chain.people["grid"].id)
    assert chain.ask("money", "total_supply") == 1000 * AIP * (len(chain.people))


@pytest.mark.parametrize("token", TOKENS)
def test_a_spender_moves_what_was_allowed_and_no_more(chain: Chain, token: str) -> None:
    owner, spender, to = (chain.people[who].id for who in ("grid", "user1", "user2"))
    chain.must("grid", token, "approve", spender, 10 * WH)
    chain.must("grid", token, "increase_allowance", spender, 5 * WH)
    chain.must("grid", token, "decrease_allowance", spender, 3 * WH)
    before = chain.ask(token, "balance_of", to)
    chain.must("user1", token, "transfer_from", owner, to, 8 * WH)
    assert chain.ask(token, "allowance", owner, spender) == 4 * WH
    assert chain.ask(token, "balance_of", to) == before + 8 * WH
    assert must_refuse(chain, "user1", token, "transfer_from", owner, to, 4 * WH + 1) is Code.ALLOWANCE_TOO_LOW
    assert must_refuse(chain, "user2", token, "transfer_from", owner, to, 1) is Code.ALLOWANCE_TOO_LOW
    chain.must("grid", token, "approve", spender, 0)
    assert must_refuse(chain, "user1", token, "transfer_from", owner, to, 1) is Code.ALLOWANCE_TOO_LOW


@pytest.mark.parametrize("token", TOKENS)
def test_what_is_allowed_beyond_the_balance_cannot_be_moved_and_the_allowance_stays(chain: Chain, token: str) -> None:
    owner, spender, to = (chain.people[who].id for who in ("grid", "user1", "user2"))
    much = chain.ask(token, "balance_of", owner) + 1
    chain.must("grid", token, "approve", spender, much)
    assert must_refuse(chain, "user1", token, "transfer_from", owner, to, much) is Code.BALANCE_TOO_LOW
    assert chain.ask(token, "allowance", owner, spender) == much


@pytest.mark.parametrize("token", TOKENS)
def test_an_owner_in_arrears_transfers_nothing_nor_does_anybody_for_them(chain: Chain, token: str) -> None:
    chain.add_based_meter("user1", 1)
    chain.must("user1", "money", "transfer", chain.people["user0"].id, 1000 * AIP)
    chain.must("grid", "grid", "transfer", chain.people["user1"].id, 5)
    chain.must("user1", token, "approve", chain.people["user2"].id, 5)
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 500), chain.meters[1].boundary(E + 1, 100, 0))
    owner, to = chain.people["user1"].id, chain.people["user3"].id
    assert chain.ask("money", "read_holding", owner)["owes_aaip"] == 45 * AIP // 100
    assert chain.ask("money", "list_debts", owner) == [
        {"creditor": chain.people["grid"].id, "amount_aaip": 45 * AIP // 100}
    ]
    assert must_refuse(chain, "user1", token, "transfer", to, 1) is Code.IN_ARREARS
    assert must_refuse(chain, "user2", token, "transfer_from", owner, to, 1) is Code.IN_ARREARS
    assert must_refuse(chain, "user1", "money", "redeem", 1, "out") is Code.IN_ARREARS
    assert must_refuse(chain, "user1", *buy(chain, epoch=E + 2)) is Code.IN_ARREARS


def test_issued_money_counts_against_the_days_cap_and_redeemed_money_is_gone(chain: Chain) -> None:
    user, supply = chain.people["user0"].id, chain.ask("money", "total_supply")
    chain.decide("money", "issue", user, 10**24)
    assert must_refuse(chain, "authority3", "money", "issue", "more", user, 1) is Code.ISSUE_ABOVE_CAP
    chain.block(time_ms=chain.state.header.time_ms + 86_400_000)
    chain.decide("money", "issue", user, 5, reference="next day")
    receipt = chain.must("user0", "money", "redeem", 10**24, "bank transfer 17")
    assert dict(receipt.events[0].values)["reference"] == "bank transfer 17"
    assert chain.ask("money", "total_supply") == supply + 5
    assert must_refuse(chain, "user0", "money", "redeem", 2000 * AIP, "too much") is Code.BALANCE_TOO_LOW


def test_issued_money_pays_arrears_first(chain: Chain) -> None:
    chain.add_based_meter("user1", 1)
    chain.must("user1", "money", "transfer", chain.people["user0"].id, 1000 * AIP)
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 500), chain.meters[1].boundary(E + 1, 100, 0))
    chain.decide("money", "issue", chain.people["user1"].id, AIP)
    holding = money.find(chain.state, chain.people["user1"].id)
    assert (holding.owes_aaip, holding.balance_aaip) == (0, 55 * AIP // 100)


WHO = ("grid", "user0", "user1")
amounts = st.sampled_from([1, 2, WH, 100 * WH, 500 * WH, 501 * WH, 1000 * AIP, 10**38])
step = st.tuples(
    st.sampled_from(TOKENS), st.sampled_from([*sorted(PSP22_CALLS), "retire", "redeem"]), st.sampled_from(WHO),
    st.sampled_from(WHO), st.sampled_from(WHO), amounts,
)  # fmt: skip


def _arguments(chain: Chain, call: str, owner: str, to: str, amount: int) -> tuple[Any, ...]:
    first, second = chain.people[owner].id, chain.people[to].id
    if call == "retire":
        return (amount,)
    if call == "redeem":
        return amount, "out"
    return (first, second, amount) if call == "transfer_from" else (second, amount)


@settings(max_examples=25, deadline=None)
@given(st.lists(step, min_size=1, max_size=25))
def test_whatever_holders_and_spenders_do_no_token_appears_and_no_allowance_is_exceeded(steps: list) -> None:
    """`Chain.block` holds the sums over all balances against what was issued, minted, redeemed and burned."""
    chain = make_chain(users=2)
    chain.add_based_meter("user0", 0)
    chain.to_epoch(E)
    chain.report(chain.meters[0].boundary(E, 0, 500))
    for token, call, sender, owner, to, amount in steps:
        person, spender = chain.people[owner].id, chain.people[sender].id
        allowed = chain.ask(token, "allowance", person, spender)
        held = {who: chain.ask(token, "balance_of", chain.people[who].id) for who in WHO}
        receipt = chain.run(sender, token, call, *_arguments(chain, call, owner, to, amount))
        after = {who: chain.ask(token, "balance_of", chain.people[who].id) for who in WHO}
        if receipt.code is not Code.DONE:
            assert after == held
        elif call == "transfer_from":
            assert amount <= allowed
            assert chain.ask(token, "allowance", person, spender) == allowed - amount
        losers = [who for who in WHO if after[who] < held[who]]
        assert losers in ([], [owner if call == "transfer_from" else sender])
    assert grid.supply(chain.state).minted_agrid == 500 * WH
