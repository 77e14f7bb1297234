"""Who may do what, written down once more: every call, refused to everybody else."""

from __future__ import annotations

from typing import Final

import pytest

from ledger.codes import Code
from ledger.modules import MODULES
from ledger.modules.module import CallDefinition
from tests.ledger.chain_kit import Chain, make_chain
from tests.ledger.code_kit import fill
from tests.ledger.reached_by_oracle import add_operators
from tests.ledger.reached_by_registry import make_agent

MAY: Final[dict[str, set[str]]] = {
    "user0": {
        "market.create_sell_order", "market.create_buy_order", "market.cancel_order", "market.keep_surplus",
        "market.roll_over", "registry.delegate", "registry.end_delegation", "oracle.request_energy_data",
        "oracle.request_data",
    },
    "agent": {
        "market.create_sell_order", "market.create_buy_order", "market.cancel_order", "market.roll_over",
    },
    "admin": {
        "registry.register_user", "registry.verify_user", "registry.suspend_user", "registry.link_accounts",
        "registry.register_gateway", "registry.register_operator", "registry.register_market_maker",
        "registry.dismiss", "registry.assign_meter", "registry.rebase", "registry.reinstate_meter",
        "registry.suspend_meter", "registry.rotate_meter_key", "registry.revoke_meter_key",
        "registry.replace_meter_key", "registry.replace_key", "market.release_energy", "oracle.request_energy_data",
        "oracle.request_data",
    },
    "gateway": {"anchors.submit_anchors"},
    "authority": {
        "authorities.admit", "authorities.remove", "authorities.rotate_keys", "governance.pause",
        "governance.resume", "governance.set_parameter", "governance.set_clearing_rule", "governance.upgrade",
        "money.issue", "resumption.record", "registry.appoint_admin", "registry.dismiss_admin", "market.release_energy",
        "market.approve_correction", "tariffs.set_calendar", "tariffs.end_calendar", "oracle.request_energy_data",
        "oracle.request_data",
    },
    "grid": {"oracle.request_energy_data", "oracle.request_data"},
    "operator0": {"oracle.fulfill_data"},
    "maker": {"market.match_orders", "oracle.perform_upkeep", "oracle.request_data"},
}  # fmt: skip
OPEN: Final = {
    *(f"{token}.{call}" for token in ("grid", "money") for call in (
        "transfer", "transfer_from", "approve", "increase_allowance", "decrease_allowance")),
    "grid.retire", "money.redeem", "registry.change_key", "registry.keep_key", "authorities.join",
    "market.report_intervals", "oracle.fulfill_energy_data",
}  # fmt: skip
"""Open to every account but agents'; what it may do there hangs on what it owns, and on who it is."""
CALLS: Final = {f"{call.module}.{call.name}": call for module in MODULES for call in module.calls.values()}


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain where everybody has an account; refused calls leave it as it is."""
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    add_operators(chain, 1)
    maker = chain.add_person("maker", 8100)
    chain.must("admin", "registry", "register_market_maker", maker.id, maker.key.public_key)
    make_agent(chain, until_s=10**6)
    return chain


def attempt(chain: Chain, who: str, call: CallDefinition) -> Code:
    return chain.run(who, call.module, call.name, *(fill(kind) for _, kind in call.arguments)).code


def test_no_call_is_missing_from_the_table() -> None:
    assert set(CALLS) == OPEN | set().union(*MAY.values())
    assert OPEN & set().union(*MAY.values()) == set()


@pytest.mark.parametrize("who", sorted(MAY))
def test_whoever_lacks_the_role_is_refused_for_it_and_whoever_has_it_is_not(chain: Chain, who: str) -> None:
    """The arguments fit and mean nothing: what a role allows is refused for them, if at all."""
    allowed = MAY[who] | (set() if who == "agent" else OPEN)
    for name in sorted(set(CALLS) - allowed):
        assert attempt(chain, who, CALLS[name]) is Code.NOT_PERMITTED, name
    for name in sorted(MAY[who]):
        assert attempt(chain, who, CALLS[name]) is not Code.NOT_PERMITTED, name
