"""What the state says of how the ledger is."""

from __future__ import annotations

from ledger.api.condition import LastClearing, MissedVotes
from ledger.node.chain import Chain as NodeChain
from ledger.node.reporting.health import ChainHealth, measure_chain
from tests.ledger.chain_kit import AUTHORITY_NAMES, Chain, make_chain
from tests.ledger.code_kit import E, buy, sell


def measure(chain: Chain) -> ChainHealth:
    return measure_chain(NodeChain(chain.runtime, chain.state))


def test_the_last_clearing_is_that_of_the_newest_book_with_orders() -> None:
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    assert measure(chain).last_clearing is None
    chain.must("user0", *sell(chain, price=2_500_000, wh=300))
    assert measure(chain).last_clearing is None  # its gate is still open
    chain.must("user1", *buy(chain, price=3_500_000, wh=200))
    chain.to_epoch(E)
    cleared = measure(chain).last_clearing
    assert cleared == LastClearing(E, 2, 200, cleared.price_uaip_per_kwh if cleared else None)
    assert cleared.price_uaip_per_kwh is not None
    chain.to_epoch(E + 3)  # books without orders do not count
    assert measure(chain).last_clearing == cleared


def test_requests_tokens_and_votes_are_those_of_the_state() -> None:
    chain = make_chain()
    meter = chain.add_based_meter("user0", 0)
    chain.must("user0", "oracle", "request_energy_data", meter.id, E)
    health = measure(chain)
    assert (health.oracle.open, health.oracle.timed_out) == (1, 0)
    assert (health.supply.minted_agrid, health.supply.burned_agrid) == (0, 0)
    assert health.missed_votes == tuple(MissedVotes(name, 0) for name in AUTHORITY_NAMES)
    chain.to_epoch(E)
    chain.to_epoch(E + 1)
    chain.report(meter.boundary(E + 1, 0, 700))
    chain.block()
    health = measure(chain)
    assert health.supply.minted_agrid == 700 * 10**15
    assert (health.oracle.open, health.oracle.fulfilled) == (0, 1)
