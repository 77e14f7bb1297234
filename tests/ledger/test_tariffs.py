"""Tariffs by time of use, and what orders, books and gap intervals make of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codes import Code
from ledger.modules import tariffs
from ledger.modules.tariffs import Period, Tariffs
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, Chain, lines_of, make_chain

NANO = 10**9
DAY, HOUR = 86_400 // EPOCH_S, 3_600 // EPOCH_S
BANGKOK_MIN = 7 * 60
ON_PEAK, OFF_PEAK = "mon-fri 09:00-22:00 5800000/2400000", "daily 00:00-24:00 2600000/2000000"
HOLIDAY = "2027-02-05 00:00-24:00 2600000/2000000"
RETAIL, FEED_IN = 4_500_000, 2_200_000
THURSDAY = 1_801_699_200 // EPOCH_S
"""2027-02-04 at 00:00 UTC: 07:00 in Bangkok; the day after is a holiday."""


def of_epoch(chain: Chain, epoch: int) -> tuple[int, int]:
    found = chain.ask("tariffs", "of_epoch", epoch)
    return found["retail_uaip_per_kwh"], found["feed_in_uaip_per_kwh"]


def test_tariffs_follow_the_campus_own_hours_weekdays_and_holidays() -> None:
    chain = make_chain()
    chain.decide("tariffs", "set_calendar", BANGKOK_MIN, [HOLIDAY, ON_PEAK, OFF_PEAK], START_EPOCH + 10)
    assert of_epoch(chain, START_EPOCH + 9) == (RETAIL, FEED_IN)
    at_nine, at_twenty_two = THURSDAY + 2 * HOUR, THURSDAY + 15 * HOUR
    assert of_epoch(chain, at_nine - 1) == (2_600_000, 2_000_000)
    assert of_epoch(chain, at_nine) == of_epoch(chain, at_twenty_two - 1) == (5_800_000, 2_400_000)
    assert of_epoch(chain, at_twenty_two) == (2_600_000, 2_000_000)
    assert of_epoch(chain, at_nine + DAY) == (2_600_000, 2_000_000)  # Friday, but a holiday
    assert of_epoch(chain, at_nine + 2 * DAY) == (2_600_000, 2_000_000)  # Saturday
    assert of_epoch(chain, at_nine + 4 * DAY) == (5_800_000, 2_400_000)  # Monday
    (shown,) = chain.ask("tariffs", "list_calendars")
    assert shown["periods"] == [HOLIDAY, ON_PEAK, OFF_PEAK]


def test_a_calendar_can_be_replaced_and_ended_for_later_epochs_only() -> None:
    chain = make_chain()
    chain.decide("tariffs", "set_calendar", 0, ["daily 00:00-24:00 5000000/3000000"], START_EPOCH + 10, reference="a")
    chain.decide("tariffs", "end_calendar", START_EPOCH + 20, reference="b")
    assert of_epoch(chain, START_EPOCH + 19) == (5_000_000, 3_000_000)
    assert of_epoch(chain, START_EPOCH + 20) == (RETAIL, FEED_IN)
    late = chain.run("authority", "tariffs", "end_calendar", "c", START_EPOCH)
    assert late.code is Code.WRONG_NOTICE


def test_no_calendar_is_dropped_before_another_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tariffs, "MAX_CALENDARS", 2)
    chain = make_chain()
    first, period = START_EPOCH + 1, ["daily 00:00-24:00 5000000/3000000"]
    chain.decide("tariffs", "set_calendar", 0, period, first, reference="a")
    chain.decide("tariffs", "end_calendar", first + 100, reference="b")
    chain.decide("tariffs", "set_calendar", 0, period, first + 100, reference="c")  # in place of b
    assert of_epoch(chain, first) == (5_000_000, 3_000_000)
    full = chain.run("authority", "tariffs", "end_calendar", "d", first + 200)
    assert full.code is Code.WRONG_NOTICE
    chain.to_epoch(first + 100)
    chain.decide("tariffs", "end_calendar", first + 200, reference="d")
    assert [row["from_epoch"] for row in chain.ask("tariffs", "list_calendars")] == [first + 200, first + 100]


def test_ending_the_calendar_ends_what_was_agreed_for_later_too() -> None:
    chain = make_chain()
    first, period = START_EPOCH + 10, ["daily 00:00-24:00 5000000/3000000"]
    for number, ahead in enumerate((0, 20)):
        chain.decide("tariffs", "set_calendar", 0, period, first + ahead, reference=str(number))
    chain.decide("tariffs", "end_calendar", first + 10, reference="end")
    assert of_epoch(chain, first + 9) == (5_000_000, 3_000_000)
    assert of_epoch(chain, first + 10) == of_epoch(chain, first + 20) == (RETAIL, FEED_IN)


@pytest.mark.parametrize("has_calendar", [False, True])
@pytest.mark.parametrize("is_whole_gap", [False, True])
def test_a_change_of_parameters_leaves_epochs_that_have_begun_as_they_were(
    has_calendar: bool, is_whole_gap: bool
) -> None:
    """In the midst of an epoch: those begun before keep the old tariffs, however late they are reported."""
    chain = make_chain(settle_deadline_s=0, settle_deadline_blocks=1)
    meter, changed = chain.add_based_meter("user0", 0), START_EPOCH + 3
    if has_calendar:  # of other days: the parameters' tariffs hold all the same
        chain.decide("tariffs", "set_calendar", 0, ["2031-01-01 00:00-24:00 9000000/1000000"], START_EPOCH + 1)
    chain.to_epoch(changed)
    chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", 7_000_000, chain.state.header.height + 13)
    while of_epoch(chain, changed + 1) == (RETAIL, FEED_IN):
        chain.block()
    assert (chain.epoch, of_epoch(chain, changed)) == (changed, (RETAIL, FEED_IN))
    chain.to_epoch(changed + 2)
    boundaries = range(changed + 1, changed + 3) if is_whole_gap else range(START_EPOCH + 1, changed + 3)
    readings = [meter.boundary(at, (at - START_EPOCH) * 100, 0) for at in boundaries]
    assert chain.report(*readings) == [Code.DONE] * len(readings)
    chain.block()
    lines = sorted((line for one in chain.executions for line in lines_of(one)), key=lambda line: line.epoch)
    old, new = lines[:-1], lines[-1]
    assert [line.grid_cost_aaip for line in old] == [line.import_wh * RETAIL * NANO for line in old]
    assert sum(line.import_wh for line in old) == (changed + 1 - START_EPOCH) * 100
    assert (new.epoch, new.grid_cost_aaip) == (changed + 1, 100 * 7_000_000 * NANO)


def test_an_epoch_that_starts_as_the_change_does_has_the_new_tariffs_and_one_passed_over_the_old() -> None:
    chain = make_chain()
    chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", 7_000_000, chain.state.header.height + 13)
    while chain.state.header.height < 13:
        chain.block()
    chain.to_epoch(START_EPOCH + 5, offset_s=0)
    assert [of_epoch(chain, START_EPOCH + ahead)[0] for ahead in (3, 4, 5)] == [RETAIL, RETAIL, 7_000_000]


def test_of_many_changes_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tariffs, "MAX_BASES", 2)
    chain = make_chain()
    for number, retail in enumerate((5_000_000, 6_000_000)):
        height = chain.state.header.height + 13
        chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", retail, height, reference=str(number))
        while chain.state.header.height < height:
            chain.block()
        chain.to_epoch(chain.epoch + 1)
    assert [row.retail_uaip_per_kwh for _, row in chain.state.scan(tariffs.BASES)] == [6_000_000, 5_000_000]
    assert of_epoch(chain, START_EPOCH) == (5_000_000, FEED_IN)


def test_a_change_within_the_epoch_of_the_last_one_takes_its_place_and_no_other_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tariffs, "MAX_BASES", 2)
    chain = make_chain()
    height = chain.state.header.height + 20
    for due, retail in ((height, 5_000_000), (height + 1, 6_000_000)):
        chain.decide("governance", "set_parameter", "retail_uaip_per_kwh", retail, due, reference=str(due))
    while chain.state.header.height < height + 1:
        chain.block()
    assert [row.retail_uaip_per_kwh for _, row in chain.state.scan(tariffs.BASES)] == [6_000_000, RETAIL]
    assert of_epoch(chain, START_EPOCH) == (RETAIL, FEED_IN)


def test_tariffs_cannot_be_paused() -> None:
    """Agreed parameters would go on changing, and nobody would note from which epoch on they count."""
    chain = make_chain()
    refused = [chain.run(f"authority{number}", "governance", "pause", "now", "tariffs").code for number in ("", 2, 3)]
    assert refused == [Code.NOT_PAUSABLE] * 3


def test_orders_keep_within_the_tariffs_of_their_epoch_as_its_book_opened() -> None:
    chain = make_chain()
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    epoch = START_EPOCH + 4
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch, RETAIL, 100)  # its book is open now
    chain.decide("tariffs", "set_calendar", 0, ["daily 00:00-24:00 5000000/3000000"], START_EPOCH + 2)
    above = chain.run("user1", "market", "create_buy_order", chain.meters[1].id, epoch, RETAIL + 1, 100)
    assert above.code is Code.PRICE_ABOVE_RETAIL
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, epoch + 1, 5_000_000, 100)
    below = chain.run("user0", "market", "create_sell_order", chain.meters[0].id, epoch + 1, 2_999_999, 100)
    assert below.code is Code.PRICE_BELOW_FEED_IN


@pytest.mark.parametrize("epochs", [3, 200])
def test_a_gap_is_booked_at_the_worst_tariffs_of_its_span(epochs: int) -> None:
    """One dear hour and one with a low feed-in lie in the span; of a long span the whole calendar counts."""
    chain = make_chain()
    meter = chain.add_based_meter("user0", 0)
    periods = ["daily 00:00-24:00 4000000/2300000"]
    chain.decide("tariffs", "set_calendar", 0, ["daily 00:00-24:00 6000000/2500000"], START_EPOCH + 1, reference="a")
    chain.decide("tariffs", "set_calendar", 0, ["daily 00:00-24:00 4000000/1000000"], START_EPOCH + 2, reference="b")
    chain.decide("tariffs", "set_calendar", 0, periods, START_EPOCH + 3, reference="c")
    chain.to_epoch(START_EPOCH + epochs)
    assert chain.report(meter.boundary(START_EPOCH + epochs, 100, 10)) == [Code.DONE]
    (line,) = lines_of(chain.executions[-1])
    assert line.grid_cost_aaip == 100 * 6_000_000 * NANO
    assert line.grid_income_aaip == 10 * 1_000_000 * NANO


def test_a_span_that_many_meters_report_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain(users=4)
    meters = [chain.add_based_meter(f"user{number}", number) for number in range(4)]
    chain.decide("tariffs", "set_calendar", 0, [ON_PEAK, OFF_PEAK], START_EPOCH + 1)
    chain.to_epoch(START_EPOCH + 90)
    walked: list[int] = []
    pick = tariffs._pick

    def note_and_pick(*values: Any) -> Tariffs | None:
        walked.append(values[1])
        return pick(*values)

    monkeypatch.setattr(tariffs, "_pick", note_and_pick)
    tariffs._find_worst.cache_clear()
    codes = chain.report(*(meter.boundary(START_EPOCH + 90, 100, 0) for meter in meters))
    assert codes == [Code.DONE] * 4
    span = range(START_EPOCH, START_EPOCH + 90)
    assert all(walked.count(epoch) == 1 for epoch in span[:-1])


@given(
    st.one_of(
        st.tuples(st.integers(0, 6), st.integers(1, 7)).map(
            lambda at: (sum(1 << (at[0] + n) % 7 for n in range(at[1])), None)
        ),
        st.integers(0, 40_000).map(lambda day: (0, day)),
    ),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_a_period_reads_as_it_is_written(
    days: tuple[int, int | None], first: int, end: int, retail: int, feed_in: int
) -> None:
    period = Period(*days, min(first, end - 1), end, retail, feed_in)
    assert tariffs.read_period(tariffs.write_period(period)) == period
