"""Governance: decisions of Q authorities, modules at rest, parameters and protocol versions that change at a height."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.codes import Code, Refusal
from ledger.genesis import Parameters
from ledger.modules import MODULES, money
from ledger.modules.approvals import REFERENCE
from ledger.modules.governance import ALWAYS_ON, FIXED_PARAMETERS
from ledger.modules.module import Context
from ledger.runtime import InvalidBlockError, Runtime
from tests.ledger.chain_kit import AIP, AUTHORITIES, Chain, make_chain
from tests.ledger.code_kit import E, buy, fill, must_refuse, next_block, sell
from tests.ledger.reached_by_registry import make_agent

DECISIONS = [
    call for module in MODULES for call in module.calls.values() if call.arguments[:1] == (("reference", REFERENCE),)
]


@pytest.fixture
def chain() -> Chain:
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    return chain


def pass_blocks(chain: Chain, height: int) -> None:
    while chain.state.header.height < height:
        chain.block()


def test_what_changes_rules_money_or_authorities_takes_q_authorities() -> None:
    names = {f"{call.module}.{call.name}" for call in DECISIONS}
    assert names == {
        "authorities.admit", "authorities.remove", "authorities.rotate_keys", "governance.pause", "governance.resume",
        "governance.set_clearing_rule", "governance.set_parameter", "governance.upgrade", "market.approve_correction",
        "money.issue", "registry.appoint_admin", "registry.dismiss_admin", "resumption.record", "tariffs.set_calendar",
        "tariffs.end_calendar",
    }  # fmt: skip


def test_two_of_four_decide_nothing_and_three_do(chain: Chain) -> None:
    user = chain.people["user0"].id
    before = chain.ask("money", "balance_of", user)
    call = ("money", "issue", "minutes", user, AIP)
    for who in AUTHORITIES[:2]:
        assert chain.must(who, *call).events[-1].name == "approved"
    assert must_refuse(chain, AUTHORITIES[0], *call) is Code.ALREADY_APPROVED
    chain.must(AUTHORITIES[2], *call[:-1], AIP + 1)  # another amount is another decision
    assert chain.ask("money", "balance_of", user) == before
    receipt = chain.must(AUTHORITIES[2], *call)
    assert [event.name for event in receipt.events] == ["approved", "issued"]
    assert chain.ask("money", "balance_of", user) == before + AIP


@pytest.mark.parametrize("who", ["admin", "user0", "gateway", "grid"])
def test_nobody_but_authorities_decides(chain: Chain, who: str) -> None:
    for call in DECISIONS:
        arguments = [fill(kind) for _, kind in call.arguments]
        assert must_refuse(chain, who, call.module, call.name, *arguments) is Code.NOT_PERMITTED


def test_an_approval_lapses_after_a_week(chain: Chain) -> None:
    call = ("money", "issue", "minutes", chain.people["user0"].id, AIP)
    for who in AUTHORITIES[:2]:
        chain.must(who, *call)
    chain.block(time_ms=chain.state.header.time_ms + 8 * 86_400_000)
    chain.must(AUTHORITIES[2], *call)
    assert [len(row["approved_by"]) for row in chain.ask("governance", "list_open_decisions")] == [1]


def test_a_decision_that_cannot_be_carried_out_is_refused_to_the_first_who_asks_and_leaves_nothing(
    chain: Chain,
) -> None:
    call = ("authority", "money", "issue", "minutes", bytes(8), AIP)
    assert must_refuse(chain, *call) is Code.UNKNOWN_ACCOUNT
    assert chain.ask("governance", "list_open_decisions") == []


def test_a_paused_module_takes_no_calls_and_runs_no_hooks_and_makes_up_for_them_when_resumed(chain: Chain) -> None:
    chain.must("user0", *sell(chain))
    chain.must("user1", *buy(chain))
    chain.decide("governance", "pause", "market")
    assert chain.ask("governance", "list_paused") == ["market"]
    assert chain.runtime.next_due_ms(chain.state) is None
    chain.to_epoch(E)
    readings = [meter.boundary(E, 0, 0) for meter in chain.meters]
    assert must_refuse(chain, "gateway", "market", "report_intervals", readings) is Code.MODULE_PAUSED
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)
    assert chain.executions[-1].records == ()
    chain.decide("governance", "resume", "market")
    assert [event.name for event in chain.block().events] == ["cleared"]
    assert chain.report(*readings) == [Code.DONE] * 2
    chain.to_epoch(E + 1)
    chain.report(*(meter.boundary(E + 1, 100, 100) for meter in chain.meters))
    assert "settled" in [event.name for event in chain.executions[-1].events]


@pytest.mark.parametrize("name", [module.name for module in MODULES if module.name not in ALWAYS_ON])
def test_every_other_module_can_be_paused_and_resumed(chain: Chain, name: str) -> None:
    chain.decide("governance", "pause", name)
    chain.to_epoch(E)
    chain.decide("governance", "resume", name)
    assert chain.ask("governance", "list_paused") == []


def test_a_parameter_changes_in_the_block_that_was_agreed_on(chain: Chain) -> None:
    height = chain.state.header.height + 15
    chain.decide("governance", "set_parameter", "order_fee_aaip", 7, height)
    assert chain.ask("governance", "list_parameters")["scheduled"] == [
        {"name": "order_fee_aaip", "value": 7, "from_height": height}
    ]
    pass_blocks(chain, height - 2)
    grid = chain.people["grid"].id
    before = chain.ask("money", "balance_of", grid)
    chain.must("user0", *sell(chain))
    assert chain.ask("money", "balance_of", grid) == before + 5 * 10**15
    chain.must("user0", *sell(chain))
    assert chain.state.header.height == height
    assert chain.ask("money", "balance_of", grid) == before + 5 * 10**15 + 7
    assert chain.ask("governance", "list_parameters")["parameters"]["order_fee_aaip"] == 7


def test_a_change_that_no_longer_fits_the_others_is_dropped_and_said(chain: Chain) -> None:
    height = chain.state.header.height + 30
    chain.decide("governance", "set_parameter", "feed_in_uaip_per_kwh", 4_400_000, height, reference="first")
    chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", 4_000_000, height, reference="second")
    pass_blocks(chain, height)
    names = [event.name for event in chain.executions[-1].events]
    assert names == ["parameter_changed", "parameter_dropped"]
    parameters = chain.runtime.look(chain.state).parameters
    assert (parameters.feed_in_uaip_per_kwh, parameters.retail_uaip_per_kwh) == (4_400_000, 4_500_000)


def test_every_parameter_but_the_epochs_length_can_change(chain: Chain) -> None:
    height = chain.state.header.height + 100
    for name in Parameters.__dataclass_fields__:
        value = getattr(Parameters(), name)
        change = (name, value, height) if isinstance(value, int) else (value, height)
        function = "set_parameter" if isinstance(value, int) else "set_clearing_rule"
        receipt = chain.run("authority", "governance", function, name, *change)
        assert receipt.code is (Code.BAD_PARAMETER if name in FIXED_PARAMETERS else Code.DONE), receipt.text


# --- protocol versions ---


def test_a_program_that_does_not_know_the_version_agreed_on_neither_makes_nor_accepts_the_block(chain: Chain) -> None:
    height = chain.state.header.height + 15
    chain.decide("governance", "upgrade", 2, height)
    assert chain.ask("governance", "read_protocol") == {"version": 1, "next_version": 2, "from_height": height}
    pass_blocks(chain, height - 1)
    assert {block.header.version for block in chain.blocks} == {1}
    refused = chain.runtime.refuse_version(chain.state)
    assert refused is not None
    assert refused.text == (
        f"block {height} is of protocol version 2, this program knows 1; "
        "install the release that the authorities agreed on"
    )
    with pytest.raises(InvalidBlockError) as caught:
        next_block(chain)
    assert caught.value.code is Code.WRONG_VERSION
    old, chain.runtime = chain.runtime, Runtime(chain.genesis, versions=frozenset({1, 2}))
    block = next_block(chain)
    assert block.header.version == 2
    with pytest.raises(InvalidBlockError, match="install the release"):
        old.execute(chain.state, block)
    with pytest.raises(InvalidBlockError, match="block version 1 is not 2"):
        chain.runtime.execute(chain.state, replace(block, header=replace(block.header, version=1)))
    chain.state.apply(chain.runtime.execute(chain.state, block))
    assert chain.ask("governance", "read_protocol") == {"version": 2, "next_version": None, "from_height": None}


def test_a_rule_that_a_release_changes_counts_from_the_agreed_block_on(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then programs of both releases agree, and the new one executes the chain from its genesis on."""
    transfer, other = money.module.calls["transfer"], chain.people["user1"].id

    def transfer_anew(context: Context, to: bytes, amount_aaip: int) -> Refusal | None:
        if context.version >= 2 and amount_aaip > 5:
            return Refusal(Code.BAD_ARGUMENTS, "version 2 moves no more than 5 at once")
        refused: Refusal | None = transfer.function(context, to, amount_aaip)
        return refused

    chain.decide("governance", "upgrade", 2, chain.state.header.height + 15)
    height = chain.state.header.height + 12
    pass_blocks(chain, height - 2)
    chain.must("user0", "money", "transfer", other, 6)
    assert chain.runtime.look(chain.state).version == 2
    monkeypatch.setitem(money.module.calls, "transfer", replace(transfer, function=transfer_anew))
    both = frozenset({1, 2})
    state = Runtime(chain.genesis, versions=both).genesis_state()
    for block in chain.blocks:
        state.apply(Runtime(chain.genesis, versions=both).execute(state, block))
    assert (state.root, state.header.height) == (chain.state.root, height - 1)
    chain.runtime, chain.state = Runtime(chain.genesis, versions=both), state
    block = next_block(chain, transactions=[chain.sign("user0", "money", "transfer", other, 6)])
    execution = chain.runtime.execute(state, block)
    assert (block.header.version, execution.receipts[0].code) == (2, Code.BAD_ARGUMENTS)


def test_a_newer_agreement_takes_the_place_of_an_upgrade_that_waits(chain: Chain) -> None:
    first = chain.state.header.height + 20
    chain.decide("governance", "upgrade", 2, first)
    chain.decide("governance", "upgrade", 2, first + 100, reference="later")
    pass_blocks(chain, first)
    assert chain.blocks[-1].header.version == 1


# --- fees ---


def test_an_agents_fees_are_its_users_within_its_limit_however_many_calls_are_refused(chain: Chain) -> None:
    height = chain.state.header.height + 15
    chain.decide("governance", "set_parameter", "call_fee_aaip", AIP, height)
    pass_blocks(chain, height)
    agent = make_agent(chain, limit_aaip=3 * AIP)
    user = chain.people["user0"].id
    before = chain.ask("money", "balance_of", user)
    codes = [chain.run("agent", "market", "cancel_order", bytes(8)).code for _ in range(5)]
    assert codes == [Code.UNKNOWN_ORDER] * 3 + [Code.FEE_UNPAID] * 2
    assert chain.ask("money", "balance_of", user) == before - 3 * AIP
    chain.must("user0", "registry", "end_delegation", agent.id)
    assert chain.run("agent", "market", "cancel_order", bytes(8)).code is Code.FEE_UNPAID
    assert chain.ask("money", "balance_of", user) == before - 4 * AIP  # the user's own call


def test_a_fee_is_paid_for_a_call_whether_it_is_done_or_not_but_not_by_those_who_serve(chain: Chain) -> None:
    height = chain.state.header.height + 15
    chain.decide("governance", "set_parameter", "call_fee_aaip", 10**15, height)
    pass_blocks(chain, height)
    user, grid = chain.people["user0"].id, chain.people["grid"].id
    before = chain.ask("money", "balance_of", grid)
    done = chain.must("user0", "money", "transfer", chain.people["user1"].id, 1)
    assert [event.name for event in done.events] == ["fee_paid", "transferred"]
    refused = chain.run("user0", "money", "transfer", user, 1)
    assert (refused.code, [event.name for event in refused.events]) == (Code.SAME_ACCOUNT, ["fee_paid"])
    assert chain.ask("money", "balance_of", grid) == before + 2 * 10**15
    chain.must("admin", "registry", "verify_user", user)
    chain.to_epoch(E)
    report = chain.must("user0", "market", "report_intervals", [chain.meters[0].boundary(E, 0, 0)])
    assert [event.name for event in report.events] == ["reading"]
    assert chain.ask("money", "balance_of", grid) == before + 2 * 10**15
