"""The registry's promises: who may do what, keys that end, persons with several accounts, agents within bounds."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.keys import key_id
from ledger.modules import accounts, meters, money
from ledger.modules.market.tables import EPOCHS
from ledger.modules.meters import MeterStatus, epoch_key
from ledger.modules.registry import count_verified_users
from ledger.modules.registry.tables import SPENT
from ledger.records import LineFlag
from tests.ledger.chain_kit import AIP, Chain, id_of, key_of, lines_of, make_chain
from tests.ledger.code_kit import E, buy, must_refuse, sell
from tests.ledger.reached_by_registry import delegation, make_agent, revoke, rotation

DAY_MS = 86_400_000


@pytest.fixture
def chain() -> Chain:
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    return chain


def test_a_user_is_registered_verified_suspended_and_verified_again(chain: Chain) -> None:
    new = chain.add_person("new", 70)
    chain.must("admin", "registry", "register_user", new.id, new.key.public_key, "consumer", "east wing")
    assert not chain.ask("registry", "is_user_verified", new.id)
    chain.must("admin", "registry", "verify_user", new.id)
    assert chain.ask("registry", "is_user_verified", new.id)
    assert chain.ask("registry", "read_user", new.id) == {
        "user_type": "consumer", "location": "east wing", "status": "verified", "meters": 0,
        "registered_at_ms": chain.executions[-2].head.header.time_ms, "linked_accounts": [new.id],
    }  # fmt: skip
    chain.must("admin", "registry", "suspend_user", chain.people["user0"].id)
    assert must_refuse(chain, "user0", *sell(chain)) is Code.NOT_PERMITTED
    chain.must("admin", "registry", "verify_user", chain.people["user0"].id)
    chain.must("user0", *sell(chain))


def test_only_those_who_may_change_the_registry_do(chain: Chain) -> None:
    user, key = chain.people["user0"].id, key_of(900).public_key
    admins_only = [
        ("suspend_user", user), ("link_accounts", user, chain.people["user1"].id), ("dismiss", user),
        ("register_operator", id_of(99), key), ("register_market_maker", id_of(99), key),
        ("suspend_meter", chain.meters[0].id), ("replace_key", user, key),
        ("replace_meter_key", chain.meters[0].id, key),
        ("revoke_meter_key", key_id(chain.meters[0].key.public_key), 10**6), rotation(chain, chain.meters[0], 50)[1:],
    ]  # fmt: skip
    authorities_only = [("appoint_admin", "minutes", id_of(99), key), ("dismiss_admin", "minutes", user)]
    for who in ("user0", "gateway", "grid", "authority"):
        for call in admins_only:
            assert must_refuse(chain, who, "registry", *call) is Code.NOT_PERMITTED
    for who in ("user0", "gateway", "grid", "admin"):
        for call in authorities_only:
            assert must_refuse(chain, who, "registry", *call) is Code.NOT_PERMITTED
    assert must_refuse(chain, "user1", "registry", "keep_key", user) is Code.NOT_PERMITTED
    assert must_refuse(chain, "admin", *delegation(chain, 99)) is Code.NOT_PERMITTED
    assert must_refuse(chain, "user1", *delegation(chain, 99)) is Code.NOT_METER_OWNER


def test_a_dismissed_gateway_reports_nothing_and_a_dismissed_admin_enrols_nobody(chain: Chain) -> None:
    chain.to_epoch(E)
    chain.must("admin", "registry", "dismiss", chain.people["gateway"].id)
    call = ("market", "report_intervals", [chain.meters[0].boundary(E, 0, 0)])
    assert must_refuse(chain, "gateway", *call) is Code.MAY_NOT_REPORT
    boss = chain.add_person("boss", 71)
    chain.decide("registry", "appoint_admin", boss.id, boss.key.public_key)
    chain.must("boss", "registry", "verify_user", chain.people["user0"].id)
    chain.decide("registry", "dismiss_admin", boss.id)
    assert must_refuse(chain, "boss", "registry", "verify_user", chain.people["user0"].id) is Code.NOT_PERMITTED


# --- keys of meters ---


def test_a_rotated_key_signs_from_its_number_on_and_the_bill_names_the_key_that_signed(chain: Chain) -> None:
    meter, old = chain.meters[0], chain.meters[0].key
    chain.to_epoch(E)
    before = meter.boundary(E, 10, 20)  # number 2
    chain.must("admin", *rotation(chain, meter, 3))
    assert chain.report(before, chain.meters[1].boundary(E, 0, 0)) == [Code.DONE] * 2
    by_old = next(line for line in lines_of(chain.executions[-1]) if line.meter == meter.id)
    assert (by_old.key_thumbprint[:8], by_old.flags) == (key_id(old.public_key), 0)
    meter.key = key_of(900)
    settled = []
    for n in (1, 2):
        chain.to_epoch(E + n)
        raws = [meter.boundary(E + n, 10 + n, 20), chain.meters[1].boundary(E + n, 0, 0)]
        assert chain.report(*raws) == [Code.DONE] * 2
        settled += [line for line in lines_of(chain.executions[-1]) if line.meter == meter.id]
    assert [line.flags for line in settled] == [LineFlag.KEY_CHANGED, 0]
    assert {line.key_thumbprint[:8] for line in settled} == {key_id(meter.key.public_key)}
    assert [row.last_sequence for row in meters.list_keys(chain.state, meter.id)] == [2, None]
    assert meters.find_by_key(chain.state, key_id(old.public_key)) is not None


def test_a_revoked_key_ends_at_its_height_and_not_before_whatever_its_readings_say(chain: Chain) -> None:
    meter, other = chain.meters
    chain.to_epoch(E)
    height = chain.state.header.height + 3
    chain.must("admin", "registry", "revoke_meter_key", key_id(meter.key.public_key), height)
    assert chain.report(meter.boundary(E, 5, 5), other.boundary(E, 0, 0)) == [Code.DONE] * 2
    late = meter.boundary(E, 6, 6)
    chain.to_epoch(E + 1)
    assert chain.state.header.height == height
    assert chain.row(meters.METERS, meter.id).status == MeterStatus.SUSPENDED
    assert chain.report(late) == [Code.READING_KEY_REVOKED]
    assert chain.report(other.boundary(E + 1, 0, 0)) == [Code.DONE]
    assert chain.ask("registry", "read_meter", meter.id)["keys"][0]["revoked_from"] == height


def test_a_meter_with_a_replaced_key_counts_again_only_from_its_rebase(chain: Chain) -> None:
    meter = chain.meters[0]
    revoke(chain, meter)
    meter.key, meter.sequence = key_of(900), 0
    chain.must("admin", "registry", "replace_meter_key", meter.id, meter.key.public_key)
    chain.to_epoch(E)
    raw = meter.boundary(E, 0, 7)
    assert chain.report(raw) == [Code.METER_SUSPENDED]
    chain.must("admin", "registry", "rebase", meter.id, raw)
    chain.to_epoch(E + 1)
    assert chain.report(meter.boundary(E + 1, 1, 8)) == [Code.DONE]


def test_a_suspended_meter_holds_up_nothing_and_counts_nothing_until_it_is_reinstated(chain: Chain) -> None:
    meter, other = chain.meters
    chain.must("admin", "registry", "suspend_meter", meter.id)
    assert must_refuse(chain, "admin", "registry", "suspend_meter", meter.id) is Code.METER_SUSPENDED
    chain.to_epoch(E)
    assert chain.report(meter.boundary(E, 0, 0), other.boundary(E, 0, 0)) == [Code.METER_SUSPENDED, Code.DONE]
    assert [event.name for event in chain.executions[-1].events] == ["settled"]
    chain.must("admin", "registry", "reinstate_meter", meter.id)


# --- keys of accounts ---


def test_a_lost_key_is_replaced_by_two_admins_after_a_delay_that_all_can_see(chain: Chain) -> None:
    user = chain.people["user0"]
    new = key_of(800)
    chain.must("admin", "registry", "replace_key", user.id, new.public_key)
    assert must_refuse(chain, "admin", "registry", "replace_key", user.id, new.public_key) is Code.ALREADY_APPROVED
    chain.must("admin2", "registry", "replace_key", user.id, new.public_key)
    due_ms = chain.state.header.time_ms + DAY_MS
    waiting = chain.ask("registry", "list_key_replacements")
    assert [(row["account"], row["due_ms"]) for row in waiting] == [(user.id, due_ms)]
    assert chain.runtime.next_due_ms(chain.state) == due_ms
    last = chain.sign("user0", "money", "approve", chain.people["user1"].id, 1)
    assert chain.block(last, time_ms=due_ms - 1).receipts[0].code is Code.DONE
    chain.block(time_ms=due_ms)
    assert chain.row(accounts.ACCOUNTS, user.id).public_key == new.public_key
    assert chain.ask("registry", "list_key_replacements") == []
    user.key = new
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)


@pytest.mark.parametrize("who", ["user0", "admin"])
def test_a_replacement_is_stopped_by_the_owner_or_any_admin(chain: Chain, who: str) -> None:
    user = chain.people["user0"].id
    for admin in ("admin", "admin2"):
        chain.must(admin, "registry", "replace_key", user, key_of(800).public_key)
    chain.must(who, "registry", "keep_key", user)
    chain.block(time_ms=chain.state.header.time_ms + 2 * DAY_MS)
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)


def test_no_admin_replaces_a_key_alone_nor_his_own_and_an_old_proposal_lapses(chain: Chain) -> None:
    user, key = chain.people["user0"].id, key_of(800).public_key
    own = ("registry", "replace_key", chain.people["admin"].id, key)
    assert must_refuse(chain, "admin", *own) is Code.SAME_ACCOUNT
    chain.must("admin", "registry", "replace_key", user, key)
    chain.block(time_ms=chain.state.header.time_ms + 8 * DAY_MS)
    chain.must("admin2", "registry", "replace_key", user, key_of(801).public_key)  # the first proposal, anew
    chain.block(time_ms=chain.state.header.time_ms + 8 * DAY_MS)
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)


def test_an_owner_changes_the_key_at_once_and_no_key_ever_serves_two_accounts(chain: Chain) -> None:
    user, old = chain.people["user0"], chain.people["user0"].key
    chain.must("user0", "registry", "change_key", key_of(800).public_key)
    user.key = key_of(800)
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)
    assert must_refuse(chain, "user1", "registry", "change_key", old.public_key) is Code.KEY_IN_USE
    taken = ("registry", "register_gateway", id_of(99), old.public_key)
    assert must_refuse(chain, "admin", *taken) is Code.KEY_IN_USE


# --- one person's accounts ---


def test_linked_accounts_count_as_one_user_for_meters_orders_and_slots(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, other = chain.people["user0"].id, chain.people["user1"].id
    chain.must("admin", "registry", "link_accounts", user, other)
    for number in range(20, 28):
        chain.add_meter("user0", number)
    meter = (id_of(900), other, "sdm120", 1000, key_of(900).public_key, True, "east")
    assert must_refuse(chain, "admin", "registry", "assign_meter", *meter) is Code.TOO_MANY_METERS
    chain.must("user0", *sell(chain))
    assert chain.row(EPOCHS, epoch_key(E)).users == 3  # four users, two of whom are one person
    assert must_refuse(chain, "user1", *buy(chain)) is Code.SELF_CROSS
    monkeypatch.setattr("ledger.modules.market.orders.MAX_ORDERS_PER_USER", 2)
    chain.must("user0", *sell(chain))
    refused = must_refuse(chain, "user1", *buy(chain, price=2_500_000))
    assert refused is Code.TOO_MANY_ORDERS_OF_USER


def test_verifying_and_suspending_linked_accounts_counts_the_person_once() -> None:
    chain = make_chain(users=3)
    first, second = chain.people["user0"].id, chain.people["user1"].id
    chain.must("admin", "registry", "suspend_user", second)
    chain.must("admin", "registry", "link_accounts", first, second)
    assert count_verified_users(chain.state) == 2
    for call, account, persons in (
        ("verify_user", second, 2),
        ("suspend_user", first, 2),
        ("suspend_user", second, 1),
    ):
        chain.must("admin", "registry", call, account)
        assert count_verified_users(chain.state) == persons


# --- agents ---


def test_an_agent_orders_and_cancels_for_its_user_and_can_do_nothing_else(chain: Chain) -> None:
    agent = make_agent(chain)
    receipt = chain.must("agent", *sell(chain))
    order = dict(receipt.events[-1].values)
    assert order["account"] == chain.people["user0"].id
    chain.must("agent", "market", "cancel_order", order["order"])
    chain.must("user1", "money", "transfer", agent.id, AIP)  # whoever sends it money loses it
    target, key = chain.people["user2"].id, key_of(800).public_key
    meter = chain.meters[0].id
    for call in (
        ("money", "transfer", target, 1), ("money", "approve", target, 1), ("money", "redeem", 1, "out"),
        ("money", "transfer_from", chain.people["user0"].id, target, 1), ("grid", "transfer", target, 1),
        ("grid", "retire", 10**15), ("registry", "change_key", key), ("registry", "keep_key", target),
        ("market", "keep_surplus", meter, True), ("oracle", "request_energy_data", meter, E),
        ("market", "report_intervals", [chain.meters[0].boundary(E, 0, 0)]), delegation(chain, 98),
    ):  # fmt: skip
        assert must_refuse(chain, "agent", *call) is Code.NOT_PERMITTED


def test_a_cancelled_order_gives_its_lock_back_to_the_agents_limit_but_not_its_fee(chain: Chain) -> None:
    agent = make_agent(chain, limit_aaip=AIP)
    order = dict(chain.must("agent", *sell(chain)).events[-1].values)["order"]
    assert chain.row(SPENT, agent.id + epoch_key(E)).amount_aaip == 255 * AIP // 1000
    chain.must("user0", "market", "cancel_order", order)
    assert chain.row(SPENT, agent.id + epoch_key(E)).amount_aaip == AIP // 200
    assert chain.ask("registry", "read_delegation", agent.id)["spent"] == [{"epoch": E, "amount_aaip": AIP // 200}]
    assert chain.ask("registry", "list_agents", chain.people["user0"].id) == [agent.id]


def test_an_agents_live_orders_count_to_the_limit_of_its_next_delegation(chain: Chain) -> None:
    """Else cancelling one would make what it spent negative, and let it spend more than its limit."""
    agent = make_agent(chain, limit_aaip=AIP)
    order = dict(chain.must("agent", *sell(chain)).events[-1].values)["order"]
    chain.must("user0", "registry", "end_delegation", agent.id)
    make_agent(chain, limit_aaip=AIP)
    chain.people["agent"] = agent
    assert chain.row(SPENT, agent.id + epoch_key(E)).amount_aaip == 255 * AIP // 1000
    chain.must("agent", "market", "cancel_order", order)
    assert chain.row(SPENT, agent.id + epoch_key(E)).amount_aaip == AIP // 200


def test_an_agents_account_stays_its_users_and_serves_again_with_another_key(chain: Chain) -> None:
    agent = make_agent(chain)
    chain.must("user0", "registry", "end_delegation", agent.id)
    assert must_refuse(chain, "agent", *sell(chain)) is Code.NO_DELEGATION
    agent.key = key_of(97)
    until = chain.state.header.time_ms + 60_000
    chain.must("user0", "registry", "delegate", agent.id, agent.key.public_key, [chain.meters[0].id], AIP, until)
    chain.must("agent", *sell(chain))
    assert chain.ask("registry", "list_agents", chain.people["user0"].id) == [agent.id]


def test_what_an_agent_spent_on_past_epochs_is_forgotten(chain: Chain) -> None:
    agent = make_agent(chain)
    chain.must("agent", *sell(chain))
    chain.to_epoch(E + 1)
    chain.must("agent", *sell(chain, epoch=E + 2))
    assert [int.from_bytes(key[8:], "big") for key, _ in chain.state.scan(SPENT, agent.id)] == [E + 2]


def test_two_users_cannot_share_an_agent_and_a_users_money_pays_its_agents_orders(chain: Chain) -> None:
    agent = make_agent(chain)
    until = chain.state.header.time_ms + 60_000
    taken = ("registry", "delegate", agent.id, agent.key.public_key, [chain.meters[1].id], AIP, until)
    assert must_refuse(chain, "user1", *taken) is Code.ACCOUNT_EXISTS
    before = money.find(chain.state, chain.people["user0"].id)
    chain.must("agent", *sell(chain))
    after = money.find(chain.state, chain.people["user0"].id)
    assert (after.locked_aaip, before.worth_aaip - after.worth_aaip) == (AIP // 4, AIP // 200)
