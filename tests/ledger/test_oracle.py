"""The oracle: a meter's own readings answer for it, operators for what no meter signs, and nothing waits for ever."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.modules import requests
from ledger.modules.requests import REQUESTS, RequestStatus, totals
from tests.ledger.chain_kit import Chain, lines_of, make_chain
from tests.ledger.code_kit import E, buy, must_refuse, sell
from tests.ledger.reached_by_oracle import add_operators, ask, ask_operators


@pytest.fixture
def chain() -> Chain:
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    return chain


def status(chain: Chain, request: bytes) -> RequestStatus:
    return RequestStatus(chain.row(REQUESTS, request).status)


def endings(chain: Chain) -> list[str]:
    return [
        event.name
        for execution in chain.executions
        for event in (*execution.events, *(event for receipt in execution.receipts for event in receipt.events))
        if event.module == "oracle" and event.name in ("fulfilled", "timed_out")
    ]


def test_fulfilling_a_request_is_an_interval_report_with_the_meters_signature(chain: Chain) -> None:
    request = ask(chain)
    chain.to_epoch(E + 1)
    readings = [chain.meters[0].boundary(E, 10, 20), chain.meters[0].boundary(E + 1, 13, 25)]
    receipt = chain.must("gateway", "oracle", "fulfill_energy_data", request, readings)
    names = [(event.module, event.name) for event in receipt.events]
    assert names == [("market", "reading"), ("oracle", "fulfilled"), ("market", "reading")]
    shown = chain.ask("oracle", "read_request", request)
    assert (shown["status"], shown["result"]) == ("fulfilled", [3, 5])
    assert chain.report(readings[1]) == [Code.READING_REPEATED]


def test_an_ordinary_report_answers_a_request_too_and_a_longer_span_without_a_figure(chain: Chain) -> None:
    first, second, later = ask(chain), ask(chain, epoch=E + 1), ask(chain, epoch=E + 5)
    chain.to_epoch(E + 2)
    chain.report(chain.meters[0].boundary(E + 2, 10, 20))
    assert [status(chain, one) for one in (first, second)] == [RequestStatus.FULFILLED] * 2
    assert (chain.row(REQUESTS, first).result, chain.row(REQUESTS, second).result) == ((), (10, 20))
    assert status(chain, later) is RequestStatus.OPEN


def test_only_those_who_may_report_fulfil_and_users_ask_for_their_own_meters_alone(chain: Chain) -> None:
    request = ask(chain)
    chain.to_epoch(E + 1)
    readings = [chain.meters[0].boundary(E + 1, 0, 0)]
    for who in ("user2", "admin", "grid"):
        call = ("oracle", "fulfill_energy_data", request, readings)
        assert must_refuse(chain, who, *call) is Code.MAY_NOT_REPORT
    foreign = ("oracle", "request_energy_data", chain.meters[0].id, E + 1)
    assert must_refuse(chain, "user1", *foreign) is Code.NOT_METER_OWNER
    assert must_refuse(chain, "gateway", *foreign) is Code.NOT_PERMITTED
    ask(chain, "admin", epoch=E + 1)
    chain.must("user0", "oracle", "fulfill_energy_data", request, readings)  # the owner may
    assert must_refuse(chain, "user0", "oracle", "request_energy_data", bytes(8), E) is Code.UNKNOWN_METER


def test_a_request_times_out_after_a_hundred_blocks_exactly_once(chain: Chain) -> None:
    request = ask(chain)
    asked = chain.state.header.height
    while chain.state.header.height < asked + 99:
        chain.block()
    assert status(chain, request) is RequestStatus.OPEN
    chain.block()
    assert chain.state.header.height == asked + 100
    assert status(chain, request) is RequestStatus.TIMED_OUT
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E + 1, 0, 0))
    chain.block()
    assert endings(chain) == ["timed_out"]
    assert totals(chain.state) == requests.Totals(0, 0, 1)


def test_a_report_in_the_last_block_counts_for_reports_run_before_deadlines(chain: Chain) -> None:
    chain.to_epoch(E)
    ask(chain, epoch=E - 1)
    asked = chain.state.header.height
    while chain.state.header.height < asked + 99:
        chain.block()
    chain.report(chain.meters[0].boundary(E, 1, 1))
    assert chain.state.header.height == asked + 100
    assert endings(chain) == ["fulfilled"]


def test_a_paused_oracle_times_out_once_it_is_resumed_and_not_twice(chain: Chain) -> None:
    request = ask(chain)
    chain.decide("governance", "pause", "oracle")
    for _ in range(120):
        chain.block()
    assert status(chain, request) is RequestStatus.OPEN
    chain.decide("governance", "resume", "oracle")
    chain.block()
    assert endings(chain) == ["timed_out"]


def test_requests_that_ended_are_forgotten_after_a_while(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "RETAINED_BLOCKS", 5)
    chain.to_epoch(E)
    request = ask(chain, epoch=E - 1)
    chain.report(chain.meters[0].boundary(E, 1, 1))
    for _ in range(5):
        assert chain.ask("oracle", "read_request", request) is not None
        chain.block()
    assert chain.ask("oracle", "read_request", request) is None
    assert [len(chain.state.keys(table.name)) for table in requests.TABLES] == [0, 0, 0, 0, 0, 1]


def test_more_than_two_thirds_of_the_operators_must_agree_on_one_value(chain: Chain) -> None:
    operators = add_operators(chain, 4)
    request = ask_operators(chain)
    for operator, value in zip(operators, (7, 8, 7), strict=False):
        chain.must(operator, "oracle", "fulfill_data", request, value)
        assert status(chain, request) is RequestStatus.OPEN
    assert must_refuse(chain, "user0", "oracle", "fulfill_data", request, 7) is Code.NOT_PERMITTED
    chain.must(operators[3], "oracle", "fulfill_data", request, 7)
    assert chain.ask("oracle", "read_request", request)["result"] == [7]


def test_a_dismissed_operator_answers_no_more_and_counts_no_more(chain: Chain) -> None:
    operators = add_operators(chain, 4)
    request = ask_operators(chain)
    chain.must("admin", "registry", "dismiss", chain.people[operators[3]].id)
    assert must_refuse(chain, operators[3], "oracle", "fulfill_data", request, 7) is Code.NOT_PERMITTED
    for operator in operators[:3]:
        chain.must(operator, "oracle", "fulfill_data", request, 7)
    assert status(chain, request) is RequestStatus.FULFILLED


def test_a_market_maker_has_an_overdue_book_cleared_once_in_a_block(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime is kept from clearing, as it is after an outage that left it more books than a block takes."""
    maker = chain.add_person("maker", 8100)
    chain.must("admin", "registry", "register_market_maker", maker.id, maker.key.public_key)
    for epoch in (E, E + 1):
        chain.must("user0", *sell(chain, epoch=epoch))
        chain.must("user1", *buy(chain, epoch=epoch))
    monkeypatch.setattr("ledger.modules.market.auction.MAX_CLEARINGS_PER_BLOCK", 0)
    assert chain.ask("oracle", "check_upkeep") == {"is_due": False, "epoch": None}
    chain.to_epoch(E + 1)
    assert chain.ask("oracle", "check_upkeep") == {"is_due": True, "epoch": E}
    assert must_refuse(chain, "user0", "oracle", "perform_upkeep") is Code.NOT_PERMITTED
    receipts = chain.block(*(chain.sign("maker", "oracle", "perform_upkeep") for _ in range(2))).receipts
    assert [receipt.code for receipt in receipts] == [Code.DONE, Code.NOTHING_DUE]
    assert [event.name for event in receipts[0].events] == ["cleared", "upkeep_performed"]
    assert chain.ask("oracle", "check_upkeep") == {"is_due": True, "epoch": E + 1}
    chain.decide("governance", "pause", "market")
    assert must_refuse(chain, "maker", "oracle", "perform_upkeep") is Code.MODULE_PAUSED
    chain.decide("governance", "resume", "market")
    chain.must("maker", "oracle", "perform_upkeep")
    assert chain.ask("oracle", "check_upkeep") == {"is_due": False, "epoch": None}


def test_a_book_cleared_by_request_counts_to_what_its_block_has_room_for(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two, the two orders cleared by request leave none for the settlement that is due: it comes next."""
    maker = chain.add_person("maker", 8100)
    chain.must("admin", "registry", "register_market_maker", maker.id, maker.key.public_key)
    chain.must("user0", *sell(chain))
    chain.must("user1", *buy(chain))
    monkeypatch.setattr("ledger.modules.market.auction.MAX_CLEARINGS_PER_BLOCK", 0)
    monkeypatch.setattr("ledger.modules.market.tables.MAX_HOOK_WORK_PER_BLOCK", 2)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 0, 0) for meter in chain.meters))
    cleared = chain.to_epoch(
        E + 1,
        chain.sign("maker", "market", "match_orders"),
        chain.sign("gateway", "market", "report_intervals", [meter.boundary(E + 1, 0, 0) for meter in chain.meters]),
    )
    assert [receipt.code for receipt in cleared.receipts] == [Code.DONE] * 2
    assert [line.epoch for line in lines_of(cleared)] == []
    assert [line.epoch for line in lines_of(chain.block())] == [E, E]
