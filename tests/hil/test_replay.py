"""Measured days on an in-process ledger: the same on every run, conserved, and what each user got adds up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gateway.cli import run as run_campusgrid
from hil import tools
from hil.plan import METERS
from hil.replay import campus, plot, results
from hil.replay.ledger import BALANCE_AAIP
from hil.resources import trace
from ledger.modules import money
from ledger.modules.market.tables import ORDERS

TRACES = str(tools.TRACE.parent)
TRACE = trace.load(tools.TRACE)
Day = tuple[campus.Campus, list[campus.PlayedEpoch], results.Results]


@pytest.fixture(scope="module")
def day() -> Day:
    """The first day of the trace, with the gateway's own agents."""
    played_on = campus.Campus(TRACE, 1, campus.Agents.FORECAST, 0)
    played = list(played_on.play())
    return played_on, played, results.add_up(played, played_on.names, played_on.parameters)


def test_a_day_replays_to_the_same_root_figures_and_plot(
    day: Day, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played_on, played, found = day
    page = tmp_path / "day.html"
    assert run_campusgrid(["market", "replay", TRACES, "--days", "1", "--json", "--plot", str(page)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["state_root"] == played_on.ledger.state.header.state_root.hex()
    assert {name: printed[name] for name in ("market", "users")} == found.as_json()
    assert page.read_text() == plot.draw(played, "1 day(s) of the virtual campus, forecast agents")


def test_the_meters_registers_are_what_was_settled(day: Day) -> None:
    _, played, found = day
    slots = range(campus.EPOCHS_PER_DAY)
    for exports in (False, True):
        measured_wh: int = sum(
            TRACE.energy_wh[meter.series][slot] * meter.permille // 1000
            for meter in METERS
            if meter.exports is exports
            for slot in slots
        )
        settled_wh = [user.export_wh if exports else user.import_wh for user in found.users]
        assert measured_wh == sum(settled_wh)
    assert [one.epoch - played[0].epoch for one in played] == list(slots)


def test_a_users_bill_is_what_left_the_users_account(day: Day) -> None:
    """What is still locked counts as the user's; fees of orders whose epochs are not settled yet are no part of it."""
    played_on, played, found = day
    state, fee_aaip = played_on.ledger.state, played_on.parameters.order_fee_aaip
    accounts = {name: account for account, name in played_on.names.items()}
    for user in found.users:
        open_orders = sum(
            key[8:16] == accounts[user.name] and int.from_bytes(key[:8]) > played[-1].epoch
            for key, _ in state.scan(ORDERS)
        )
        worth_aaip = money.find(state, accounts[user.name]).worth_aaip
        assert BALANCE_AAIP - worth_aaip == user.bill_aaip + open_orders * fee_aaip
        assert user.community_wh <= user.import_wh
        assert user.delivered_wh <= user.export_wh
    assert sum(user.delivered_wh for user in found.users) >= sum(user.community_wh for user in found.users) > 0


def test_the_market_is_worth_something_to_everybody_on_a_measured_day(day: Day) -> None:
    _, played, found = day
    assert all(user.saved_aaip > 0 for user in found.users)
    assert found.welfare == sum(results.measure_welfare(one) for one in played) > 0
    assert found.lowest_price is not None
    assert found.mean_price is not None
    assert found.highest_price is not None
    assert 2_200_000 <= found.lowest_price <= found.mean_price <= found.highest_price <= 4_500_000


def test_the_plot_is_plain_svg_with_a_dot_for_each_price_and_no_script(day: Day) -> None:
    _, played, _ = day
    page = plot.draw(played, "a day")
    drawings = [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawings) == 5
    assert len(drawings[0].findall("circle")) == sum(one.book.price_uaip_per_kwh is not None for one in played)
    assert "<script" not in page
    assert "http" not in page


def test_the_curves_cross_where_the_epoch_cleared(day: Day) -> None:
    for one in plot.choose_epochs(day[1]):
        demand, supply, price = plot.find_curves(one)
        matched_wh, level = price.points[-1]
        assert sum(x < matched_wh and y < level for x, y in demand.points) == 0
        assert sum(x < matched_wh and y > level for x, y in supply.points) == 0
        assert max(x for x, _ in demand.points) >= matched_wh <= max(x for x, _ in supply.points)


@pytest.mark.parametrize("agents", [campus.Agents.TRUTHFUL, campus.Agents.ZERO_INTELLIGENCE])
def test_other_agents_trade_and_settle_too(agents: campus.Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campus, "EPOCHS_PER_DAY", 44)  # to eleven in the morning
    played_on = campus.Campus(TRACE, 1, agents, 3)
    played = list(played_on.play())
    found = results.add_up(played, played_on.names, played_on.parameters)
    assert found.matched_wh > 0
    if agents is campus.Agents.TRUTHFUL:
        parameters = played_on.parameters
        ends = {parameters.feed_in_uaip_per_kwh, parameters.retail_uaip_per_kwh}
        assert {row.price_uaip_per_kwh for one in played for _, row in one.orders} == ends


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([TRACES, "--days", "15"], 1, "has 14 whole days"),
        ([TRACES, "--agents", "clever"], 2, "give one of forecast"),
        ([TRACES, "--days", "0"], 2, "--days"),
        (["no-such-file.csv"], 1, "cannot read the trace"),
        (["."], 1, "holds no CSV file"),
        ([f"{TRACES}/pv-inverter-stale-labelled.csv"], 1, "is not a trace"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_what_to_do(
    arguments: list[str], code: int, text: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run_campusgrid(["market", "replay", *arguments]) == code
    assert text in capsys.readouterr().err
