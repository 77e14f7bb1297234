"""Late proof that energy was delivered: what it returns, within 35 days and after, once; and what it never touches."""

from __future__ import annotations

import hashlib

import pytest

from ledger.codes import Code
from ledger.keys import thumbprint
from ledger.modules import meters, money
from ledger.modules.market.tables import CLAIMS, DROPPED, DROPPED_KEY, EPOCHS, SHORTFALLS, SPANS, UNCORRECTED
from ledger.modules.meters import epoch_key
from ledger.records import LineFlag, SettlementLine
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, key_of, lines_of, make_chain
from tests.ledger.reached_by_registry import rotation

E = START_EPOCH + 1
NANO = 10**9
RETAIL, FEED_IN, PENALTY, PRICE = 4_500_000, 2_200_000, 1_000_000, 3_000_000
DAY = 86_400 // EPOCH_S


def worth(chain: Chain, name: str) -> int:
    return money.find(chain.state, chain.people[name].id).worth_aaip


def sell(epoch: int = E, **parameters: int) -> Chain:
    """Return a chain on which user 0 sells user 1 1000 Wh of *epoch*, with all meters reported up to E."""
    chain = make_chain(**parameters)
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, epoch, PRICE, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch, PRICE, 1000)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 0, 0) for meter in chain.meters))
    return chain


def settle_without_seller(epoch: int = E) -> Chain:
    """User 0 sells 1000 Wh of *epoch* and delivers, but of its meter nothing comes in time from E + 1 on."""
    chain = sell(epoch, settle_deadline_s=0, settle_deadline_blocks=1)
    for reported in range(E + 1, epoch + 2):
        reading = chain.meters[1].boundary(reported, 1000 * (reported > epoch), 0)
        chain.to_epoch(reported, chain.sign("gateway", "market", "report_intervals", [reading]))
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


def report_behind(chain: Chain, *exported_wh: int) -> list[bytes]:
    """Report user 0's boundary behind those of *exported_wh*, which begin with E + 1's, and return the others."""
    *between, last = [chain.meters[0].boundary(E + 1 + place, 0, wh) for place, wh in enumerate(exported_wh)]
    chain.to_epoch(E + len(exported_wh))
    assert chain.report(last) == [Code.DONE]
    assert [line.flags for line in lines_of(chain.executions[-1])] == [LineFlag.GAP]
    return between


def open_rows(chain: Chain) -> list[str]:
    """Return the tables that still hold something about corrections."""
    names = (SHORTFALLS.name, UNCORRECTED.name, CLAIMS.name, SPANS.name)
    return [name for name in names if chain.state.keys(name)]


def test_a_boundary_that_comes_behind_a_later_one_still_corrects_the_sale_of_its_epoch() -> None:
    chain = settle_without_seller()
    before, buyer = worth(chain, "user0"), worth(chain, "user1")
    first = chain.row(meters.MARKS, chain.meters[0].id).reading_hash
    (between,) = report_behind(chain, 1000, 1500)
    assert chain.report(between) == [Code.DONE]
    (correction,) = lines_of(chain.executions[-1])
    assert (correction.epoch, correction.flags) == (E, LineFlag.GAP | LineFlag.CORRECTION)
    assert (correction.first_reading, correction.last_reading) == (first, hashlib.sha256(between).digest())
    assert worth(chain, "user0") == before + (1000 * (RETAIL + PENALTY) + 500 * FEED_IN) * NANO
    assert worth(chain, "user1") == buyer
    assert chain.report(between) == [Code.READING_REPEATED]
    assert chain.report(chain.meters[0].boundary(E + 1, 0, 1001)) == [Code.READING_FORKED]
    assert open_rows(chain) == []


def test_a_sale_within_a_longer_gap_needs_both_boundaries_of_its_epoch_and_no_others() -> None:
    chain = settle_without_seller(E + 1)
    before = worth(chain, "user0")
    first, second, beside = report_behind(chain, 300, 900, 1000, 1500)
    assert chain.report(beside) == [Code.READING_OUTDATED]
    assert chain.report(second, second) == [Code.DONE, Code.READING_REPEATED]
    assert lines_of(chain.executions[-1]) == []
    assert chain.report(first) == [Code.DONE]
    (correction,) = lines_of(chain.executions[-1])
    assert (correction.epoch, correction.grid_cost_aaip) == (E + 1, 600 * FEED_IN * NANO)
    assert worth(chain, "user0") == before + (600 * (RETAIL + PENALTY) + 900 * FEED_IN) * NANO
    assert open_rows(chain) == []


@pytest.mark.parametrize("is_settled_before", [True, False])
def test_what_comes_behind_a_later_boundary_before_the_settlement_corrects_it_as_it_is_made(
    is_settled_before: bool,
) -> None:
    """The sale's epoch waits for another meter: its gap interval is booked, and what was missing comes, before."""
    chain = sell(settle_deadline_s=3 * EPOCH_S, settle_deadline_blocks=1)
    before = worth(chain, "user0")
    (between,) = report_behind(chain, 700, 700)
    if not is_settled_before:
        assert chain.report(between) == [Code.DONE]
    chain.to_epoch(E + 5)
    chain.block()
    if is_settled_before:
        assert chain.report(between) == [Code.DONE]
    lines = [line for execution in chain.executions for line in lines_of(execution) if line.epoch == E]
    flags = [line.flags for line in lines if line.meter == chain.meters[0].id]
    assert flags == [LineFlag.NOT_REPORTED, LineFlag.GAP | LineFlag.CORRECTION]
    # it loses what it did not deliver of 1000 Wh, and has the price for the rest
    assert worth(chain, "user0") == before + (700 * PRICE - 300 * (RETAIL - PRICE + PENALTY)) * NANO
    assert open_rows(chain) == []


def test_a_gap_interval_pays_back_no_more_than_it_booked_whatever_lies_between() -> None:
    """A register that fell and rose again between the ends shows more export in its epochs than the gap had."""
    chain = settle_without_seller()
    before = worth(chain, "user0")
    (between,) = report_behind(chain, 5000, 200)
    assert chain.report(between) == [Code.DONE]
    (correction,) = lines_of(chain.executions[-1])
    assert correction.grid_cost_aaip == 200 * FEED_IN * NANO
    assert worth(chain, "user0") == before + 200 * (RETAIL + PENALTY) * NANO


def test_a_correction_within_a_gap_names_the_key_that_signed_its_last_reading() -> None:
    chain = settle_without_seller()
    meter, old = chain.meters[0], chain.meters[0].key
    between = meter.boundary(E + 1, 0, 1000)
    chain.must("admin", *rotation(chain, meter, meter.sequence + 1))
    meter.key = key_of(900)
    chain.to_epoch(E + 2)
    assert chain.report(meter.boundary(E + 2, 0, 1000), between) == [Code.DONE, Code.DONE]
    gap, correction = lines_of(chain.executions[-1])
    assert gap.flags == LineFlag.GAP | LineFlag.KEY_CHANGED
    assert correction.flags == LineFlag.GAP | LineFlag.CORRECTION
    assert correction.key_thumbprint == thumbprint(old.public_key)


def test_a_boundary_between_that_no_sale_needs_is_outdated_and_leaves_nothing_behind() -> None:
    chain = sell()
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 1000), chain.meters[1].boundary(E + 1, 1000, 0))
    between, last = (chain.meters[0].boundary(epoch, 0, 2000) for epoch in (E + 2, E + 3))
    chain.to_epoch(E + 3)
    assert chain.report(chain.meters[1].boundary(E + 2, 1000, 0), last) == [Code.DONE, Code.DONE]
    assert chain.report(between) == [Code.READING_OUTDATED]
    assert open_rows(chain) == []


def test_no_gap_of_several_epochs_and_no_reading_without_export_corrects_anything() -> None:
    chain = settle_without_seller()
    report_behind(chain, 0, 1000)
    assert [line.flags for line in lines_of(chain.executions[-1])] == [LineFlag.GAP]
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
    assert open_rows(chain) == []
    again = chain.run("authority", "market", "approve_correction", "again", chain.meters[0].id, E)
    assert again.code is Code.NOTHING_TO_CORRECT


def test_after_35_days_what_came_behind_a_later_boundary_waits_for_a_quorum_too() -> None:
    chain = settle_without_seller()
    (between,) = report_behind(chain, 1000, 1500)
    chain.to_epoch(E + 1 + 35 * DAY, offset_s=1)
    before = worth(chain, "user0")
    assert chain.report(between) == [Code.DONE]
    assert lines_of(chain.executions[-1]) == []
    chain.decide("market", "approve_correction", chain.meters[0].id, E)
    (line,) = lines_of(chain.executions[-1])
    assert (line.epoch, line.flags) == (E, LineFlag.GAP | LineFlag.CORRECTION)
    assert worth(chain, "user0") == before + 1000 * (RETAIL + PENALTY - FEED_IN) * NANO
    assert open_rows(chain) == []


def test_energy_held_as_impossible_and_released_corrects_what_it_was_missed_for() -> None:
    chain = sell(settle_deadline_s=0, settle_deadline_blocks=1)
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 5000), chain.meters[1].boundary(E + 1, 1000, 0))
    chain.must("admin", "market", "release_energy", chain.meters[0].id, E)
    chain.must("authority", "market", "release_energy", chain.meters[0].id, E)
    released, correction = lines_of(chain.executions[-1])
    assert released.flags == LineFlag.GAP | LineFlag.RELEASED
    assert correction.grid_income_aaip == 1000 * (RETAIL + PENALTY) * NANO


def test_claims_that_nothing_comes_for_leave_the_state_with_their_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = settle_without_seller(E + 1)
    report_behind(chain, 300, 900, 1000, 1500)
    assert set(open_rows(chain)) == {SHORTFALLS.name, UNCORRECTED.name, CLAIMS.name, SPANS.name}
    monkeypatch.setattr("ledger.modules.market.retention.RETAINED_S", 2 * EPOCH_S)
    chain.to_epoch(E + 6)
    chain.block()
    assert open_rows(chain) == []


def test_old_epochs_leave_the_state_and_their_energy_stays_in_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain holds the law of energy after each block; a line later than that counts with the dropped ones."""
    chain = settle_without_seller()
    monkeypatch.setattr("ledger.modules.market.retention.RETAINED_S", 2 * EPOCH_S)
    chain.to_epoch(E + 3)
    chain.block()
    assert chain.state.get(EPOCHS, epoch_key(E)) is None
    dropped = chain.row(DROPPED, DROPPED_KEY)
    assert (dropped.until, dropped.import_wh) == (E + 1, 1000)
    assert open_rows(chain) == []
    assert [line.flags for line in correct(chain, 1000)] == [LineFlag.GAP]
    assert chain.row(DROPPED, DROPPED_KEY).export_wh == 1000
