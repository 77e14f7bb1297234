"""Late proof that energy was delivered: what it returns, within 35 days and after, once; and what it never touches."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.modules import money
from ledger.modules.market.tables import DROPPED, DROPPED_KEY, EPOCHS, SHORTFALLS
from ledger.modules.meters import epoch_key
from ledger.records import LineFlag, SettlementLine
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, lines_of, make_chain

E = START_EPOCH + 1
NANO = 10**9
RETAIL, FEED_IN, PENALTY, PRICE = 4_500_000, 2_200_000, 1_000_000, 3_000_000
DAY = 86_400 // EPOCH_S


def worth(chain: Chain, name: str) -> int:
    return money.find(chain.state, chain.people[name].id).worth_aaip


def settle_without_seller() -> Chain:
    """User 0 sells 1000 Wh to user 1 and delivers, but its meter's last reading does not come in time."""
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, E, PRICE, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, E, PRICE, 1000)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 0, 0) for meter in chain.meters))
    chain.to_epoch(
        E + 1, chain.sign("gateway", "market", "report_intervals", [chain.meters[1].boundary(E + 1, 1000, 0)])
    )
    for _ in range(3):
        chain.block()
    return chain


def correct(chain: Chain, exported_wh: int) -> list[SettlementLine]:
    assert chain.report(chain.meters[0].boundary(E + 1, 0, exported_wh)) == [Code.DONE]
    return lines_of(chain.executions[-1])


@pytest.mark.parametrize("exported_wh", [1, 700, 1000, 1500])
def test_what_was_delivered_after_all_earns_what_it_would_have_earned_in_time(exported_wh: int) -> None:
    chain = settle_without_seller()
    before, buyer = worth(chain, "user0"), worth(chain, "user1")
    late, correction = correct(chain, exported_wh)
    delivered_wh = min(exported_wh, 1000)
    assert late.flags == LineFlag.GAP
    assert correction.flags == LineFlag.GAP | LineFlag.CORRECTION
    assert (correction.epoch, correction.meter) == (late.epoch, late.meter) == (E, chain.meters[0].id)
    assert correction.grid_income_aaip == delivered_wh * (RETAIL + PENALTY) * NANO
    assert correction.grid_cost_aaip == delivered_wh * FEED_IN * NANO
    # at settlement it lost (retail - price + penalty) on each Wh; with the price it is even
    surplus_wh = exported_wh - delivered_wh
    assert worth(chain, "user0") == before + (delivered_wh * (RETAIL + PENALTY) + surplus_wh * FEED_IN) * NANO
    assert worth(chain, "user1") == buyer
    assert not list(chain.state.scan(SHORTFALLS))


def test_no_gap_of_several_epochs_and_no_reading_without_export_corrects_anything() -> None:
    chain = settle_without_seller()
    chain.to_epoch(E + 2)
    between = chain.meters[0].boundary(E + 1, 0, 1000)
    assert chain.report(chain.meters[0].boundary(E + 2, 0, 1000)) == [Code.DONE]
    assert [line.flags for line in lines_of(chain.executions[-1])] == [LineFlag.GAP]
    assert chain.report(between) == [Code.READING_OUTDATED]  # it comes too late: the gap has it in already
    chain = settle_without_seller()
    assert [line.flags for line in correct(chain, 0)] == [LineFlag.GAP]
    assert list(chain.state.scan(SHORTFALLS))


def test_after_35_days_a_correction_waits_for_a_quorum_and_is_made_once() -> None:
    chain = settle_without_seller()
    chain.to_epoch(E + 1 + 35 * DAY, offset_s=1)
    assert [line.flags for line in correct(chain, 1000)] == [LineFlag.GAP]
    before = worth(chain, "user0")
    chain.decide("market", "approve_correction", chain.meters[0].id, E)
    (line,) = lines_of(chain.executions[-1])
    assert line.flags == LineFlag.GAP | LineFlag.CORRECTION
    assert worth(chain, "user0") == before + 1000 * (RETAIL + PENALTY - FEED_IN) * NANO
    again = chain.run("authority", "market", "approve_correction", "again", chain.meters[0].id, E)
    assert again.code is Code.NOTHING_TO_CORRECT


def test_energy_held_as_impossible_and_released_corrects_what_it_was_missed_for() -> None:
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, E, PRICE, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, E, PRICE, 1000)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 0, 0) for meter in chain.meters))
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 5000), chain.meters[1].boundary(E + 1, 1000, 0))
    chain.must("admin", "market", "release_energy", chain.meters[0].id, E)
    chain.must("authority", "market", "release_energy", chain.meters[0].id, E)
    released, correction = lines_of(chain.executions[-1])
    assert released.flags == LineFlag.GAP | LineFlag.RELEASED
    assert correction.grid_income_aaip == 1000 * (RETAIL + PENALTY) * NANO


def test_old_epochs_leave_the_state_and_their_energy_stays_in_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain holds the law of energy after each block; a line later than that counts with the dropped ones."""
    chain = settle_without_seller()
    monkeypatch.setattr("ledger.modules.market.retention.RETAINED_S", 2 * EPOCH_S)
    chain.to_epoch(E + 3)
    chain.block()
    assert chain.state.get(EPOCHS, epoch_key(E)) is None
    dropped = chain.row(DROPPED, DROPPED_KEY)
    assert (dropped.until, dropped.import_wh) == (E + 1, 1000)
    assert not list(chain.state.scan(SHORTFALLS))
    assert [line.flags for line in correct(chain, 1000)] == [LineFlag.GAP]
    assert chain.row(DROPPED, DROPPED_KEY).export_wh == 1000
