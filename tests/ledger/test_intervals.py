"""Continuity by register: nothing is counted twice, nothing vanishes without a trace."""

from __future__ import annotations

import pytest

from ledger.codes import Code
from ledger.modules import grid, meters, money
from ledger.modules.anchors import BLOCKS
from ledger.modules.kinds import MAX_TEXT_CHARACTERS, Text
from ledger.modules.market import tables
from ledger.modules.market.queries import held_intervals
from ledger.modules.meters import MeterStatus
from ledger.records import LineFlag, SettlementLine
from tests.ledger.chain_kit import EPOCH_S, START_EPOCH, WH, Chain, TestMeter, lines_of, make_chain

E = START_EPOCH + 1
DAY = 86_400 // EPOCH_S
RETAIL, FEED_IN, NANO = 4_500_000, 2_200_000, 10**9


@pytest.fixture
def chain() -> Chain:
    chain = make_chain()
    chain.add_based_meter("user0", 0, import_wh=1000, export_wh=5000)
    return chain


@pytest.fixture
def meter(chain: Chain) -> TestMeter:
    return chain.meters[0]


def last_lines(chain: Chain) -> list[SettlementLine]:
    return lines_of(chain.executions[-1])


def worth(chain: Chain, name: str) -> int:
    return money.find(chain.state, chain.people[name].id).worth_aaip


def test_a_report_that_spans_epochs_is_a_gap_interval_against_the_grid_alone(chain: Chain, meter: TestMeter) -> None:
    before = worth(chain, "user0")
    chain.to_epoch(E + 3)
    assert chain.report(meter.boundary(E + 2, 1300, 5700)) == [Code.DONE]
    (line,) = last_lines(chain)
    assert (line.epoch, line.flags, line.import_wh, line.export_wh) == (E + 1, LineFlag.GAP, 300, 700)
    assert (line.minted_agrid, line.burned_agrid) == (700 * WH, 0)
    assert worth(chain, "user0") - before == (700 * FEED_IN - 300 * RETAIL) * NANO
    assert grid.balance(chain.state, chain.people["grid"].id) == 700 * WH
    # what lies inside the gap is in it already
    assert chain.report(meter.boundary(E, 1100, 5100), meter.boundary(E + 1, 1200, 5200)) == [Code.READING_OUTDATED] * 2


def test_readings_of_one_report_count_in_order(chain: Chain, meter: TestMeter) -> None:
    chain.to_epoch(E + 1)
    codes = chain.report(meter.boundary(E, 1100, 5000), meter.boundary(E + 1, 1150, 5000))
    assert codes == [Code.DONE, Code.DONE]
    assert [(line.epoch, line.import_wh) for line in last_lines(chain)] == [(E - 1, 100), (E, 50)]


def test_repeats_change_nothing_at_all(chain: Chain, meter: TestMeter) -> None:
    chain.to_epoch(E)
    raw = meter.boundary(E, 1100, 5100)
    chain.report(raw)
    rows = {(row.table, row.key): row.value for row in chain.state.rows()}
    assert chain.report(raw, raw) == [Code.READING_REPEATED] * 2
    changed = [place for row in chain.state.rows() if rows.get(place := (row.table, row.key)) != row.value]
    assert [place for place in changed if place[0] != BLOCKS.name] == [
        ("accounts.accounts", chain.people["gateway"].id)
    ]


def test_a_register_that_drops_and_recovers_never_mints_its_lifetime_total(chain: Chain, meter: TestMeter) -> None:
    for epoch, export_wh, counted, flags in (
        (E, 5100, 100, 0),
        (E + 1, 0, 0, LineFlag.BELOW_MARK),
        (E + 2, 4400, 0, LineFlag.BELOW_MARK),
        (E + 3, 5100, 0, LineFlag.BELOW_MARK),
        (E + 4, 5150, 50, 0),
    ):
        chain.to_epoch(epoch)
        assert chain.report(meter.boundary(epoch, export_wh - 4000 if export_wh else 0, export_wh)) == [Code.DONE]
        (line,) = last_lines(chain)
        assert (line.import_wh, line.export_wh, line.flags) == (counted, counted, flags), epoch
    assert grid.supply(chain.state).minted_agrid == 150 * WH


def test_an_impossible_step_mints_nothing_until_an_admin_and_an_authority_release_it(
    chain: Chain, meter: TestMeter
) -> None:
    chain.to_epoch(E)
    chain.report(meter.boundary(E, 1000, 5000 + 2636))  # 10 kW x 901 s x 1.05 + 10 Wh = 2,637.9 Wh
    (line,) = last_lines(chain)
    assert (line.export_wh, line.flags) == (2636, 0)
    chain.to_epoch(E + 1)
    assert chain.report(meter.boundary(E + 1, 1000, 5000 + 2636 + 2638)) == [Code.DONE]
    (line,) = last_lines(chain)
    assert (line.export_wh, line.minted_agrid, line.flags) == (0, 0, LineFlag.HELD)
    assert [row.export_wh for _, row in chain.state.scan(tables.HELD)] == [2638]
    chain.to_epoch(E + 2)
    chain.report(meter.boundary(E + 2, 1000, 5000 + 2636 + 2638 + 7))
    assert [line.export_wh for line in last_lines(chain)] == [7]
    chain.must("authority", "market", "release_energy", meter.id, E)
    assert grid.supply(chain.state).minted_agrid == (2636 + 7) * WH
    assert chain.run("authority", "market", "release_energy", meter.id, E).code is Code.ALREADY_APPROVED
    chain.to_epoch(E + 50 * DAY)  # nobody hurries: it waits for the other one for ever
    (waiting,) = chain.ask("market", "list_held")
    assert (waiting["meter"], waiting["first_epoch"], waiting["epoch"]) == (meter.id, E, E)
    assert waiting["approved_by_admin"] is None
    assert waiting["approved_by_authority"] == chain.people["authority"].id
    assert held_intervals(chain.runtime.look(chain.state)) == 1
    chain.must("admin", "market", "release_energy", meter.id, E)
    (line,) = last_lines(chain)
    assert (line.export_wh, line.flags) == (2638, LineFlag.GAP | LineFlag.RELEASED)
    assert chain.ask("market", "list_held") == []
    assert grid.supply(chain.state).minted_agrid == (2636 + 2638 + 7) * WH
    assert not list(chain.state.scan(tables.HELD))


def test_a_forked_meter_is_suspended_and_its_energy_comes_as_a_gap_once_reinstated(
    chain: Chain, meter: TestMeter
) -> None:
    chain.to_epoch(E)
    assert chain.report(meter.boundary(E, 1100, 5000)) == [Code.DONE]
    assert chain.report(meter.boundary(E, 1050, 5000)) == [Code.READING_FORKED]
    assert chain.row(meters.METERS, meter.id).status == MeterStatus.SUSPENDED
    assert meters.first_unreported_epoch(chain.state) is None  # it holds up nobody's settlement
    chain.to_epoch(E + 1)
    assert chain.report(meter.boundary(E + 1, 1200, 5000)) == [Code.METER_SUSPENDED]
    chain.must("admin", "registry", "reinstate_meter", meter.id)
    chain.to_epoch(E + 2)
    assert chain.report(meter.boundary(E + 2, 1300, 5000)) == [Code.DONE]
    (line,) = last_lines(chain)
    assert (line.import_wh, line.flags) == (200, LineFlag.GAP)


def test_rebase_sets_a_lower_baseline_and_shows_what_it_replaced(chain: Chain, meter: TestMeter) -> None:
    chain.to_epoch(E)
    receipt = chain.must("admin", "registry", "rebase", meter.id, meter.boundary(E, 3, 4))
    values = dict(receipt.events[0].values)
    assert (values["import_before_wh"], values["export_before_wh"]) == (1000, 5000)
    chain.to_epoch(E + 1)
    chain.report(meter.boundary(E + 1, 13, 24))
    (line,) = last_lines(chain)
    assert (line.import_wh, line.export_wh) == (10, 20)


def test_rebase_lifts_a_suspension_and_chooses_between_forked_readings(chain: Chain, meter: TestMeter) -> None:
    chain.to_epoch(E)
    first, second = meter.boundary(E, 1100, 5000), meter.boundary(E, 1050, 5000)
    assert chain.report(first, second) == [Code.DONE, Code.READING_FORKED]
    chain.must("admin", "registry", "rebase", meter.id, second)
    assert chain.row(meters.METERS, meter.id).status == MeterStatus.ACTIVE
    assert meters.first_unreported_epoch(chain.state) == E


def test_an_owner_and_an_authority_may_report_a_meter_too(chain: Chain, meter: TestMeter) -> None:
    chain.to_epoch(E + 1)
    assert chain.report(meter.boundary(E, 1000, 5000), who="user0") == [Code.DONE]
    assert chain.report(meter.boundary(E + 1, 1000, 5000), who="authority") == [Code.DONE]


def test_boundaries_are_remembered_for_long_enough_and_not_for_ever(
    chain: Chain, meter: TestMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "BOUNDARY_HISTORY", 3)
    for epoch in range(E, E + 6):
        chain.to_epoch(epoch)
        chain.report(meter.boundary(epoch, 1000, 5000))
    assert len(list(chain.state.scan(meters.BOUNDARIES))) == 3
    chain.to_epoch(E + 7)
    chain.report(meter.boundary(E + 7, 1000, 5000))
    assert [int.from_bytes(key[8:], "big") for key, _ in chain.state.scan(meters.BOUNDARIES)] == [E + 5, E + 7]
    chain.to_epoch(E + 90)
    chain.report(meter.boundary(E + 90, 1000, 5000))
    assert [int.from_bytes(key[8:], "big") for key, _ in chain.state.scan(meters.BOUNDARIES)] == [E + 90]


def test_a_meter_and_a_user_registered_in_one_block_can_act_in_it(chain: Chain) -> None:
    """Keys that the block itself brings count for what follows in it."""
    from tests.ledger.chain_kit import Person, id_of, key_of

    chain.people["new"] = new = Person(id_of(70), key_of(70))
    meter = TestMeter(id_of(570), key_of(570), new)
    execution = chain.block(
        chain.sign("admin", "registry", "register_user", new.id, new.key.public_key, "prosumer", "east wing"),
        chain.sign("admin", "registry", "verify_user", new.id),
        chain.sign("admin", "registry", "verify_user", new.id),
        chain.sign(
            "admin", "registry", "assign_meter", meter.id, new.id, "sdm120", 5000, meter.key.public_key, True, "east"
        ),
        chain.sign("admin", "registry", "rebase", meter.id, meter.boundary(START_EPOCH, 0, 0)),
        chain.sign("admin", "money", "transfer", new.id, 10**18),
        chain.sign("new", "market", "create_sell_order", meter.id, E, 3_000_000, 100),
    )
    assert [receipt.code for receipt in execution.receipts] == [Code.DONE] * 7


@pytest.mark.parametrize(("text", "is_taken"), [
    ("อาคาร 3", True), ("Ost-Flügel", True), ("x" * 40, True), ("x" * 41, False), ("", False), ("a\nb", False),
    ("a\x7fb", False), ("a\u202eb", False), ("a\u200bb", False),
])  # fmt: skip
def test_labels_take_any_script_and_nothing_that_hides(text: str, is_taken: bool) -> None:
    assert Text(MAX_TEXT_CHARACTERS).accepts(text) == is_taken
