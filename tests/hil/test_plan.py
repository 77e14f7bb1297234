"""The virtual campus on paper keeps what hil/plan.py and the README say of it."""

from __future__ import annotations

import pytest

from hil import plan, tools
from hil.resources import trace
from hil.resources.virtual_meter import MODELS
from provisioning.plan import AuthorityPorts, PlannedPorts

WINDOW_SLOTS = 12
TRACE = trace.load(tools.TRACE)
PORTS = PlannedPorts(nodes=tuple(AuthorityPorts(api=1000 + i, peers=2000 + i) for i in range(4)))


def power_w(exports: bool) -> list[int]:
    series = [TRACE.power_w(meter.series, meter.permille) for meter in plan.METERS if meter.exports is exports]
    return [sum(values) for values in zip(*series, strict=True)]


@pytest.mark.parametrize("where", ["whole", "window"])
def test_pv_covers_thirty_to_seventy_percent_of_the_load(where: str) -> None:
    first = TRACE.slot(plan.FIRST_SLOT)
    chosen = slice(None) if where == "whole" else slice(first, first + WINDOW_SLOTS)
    share = sum(power_w(exports=True)[chosen]) / sum(power_w(exports=False)[chosen])
    assert 0.3 <= share <= 0.7


def test_loads_are_twenty_times_the_pv_before_they_are_scaled() -> None:
    loads = sum(sum(values) for name, values in TRACE.energy_wh.items() if "Building" in name)
    assert round(loads / sum(sum(values) for name, values in TRACE.energy_wh.items() if "Solar" in name)) == 20


def test_the_parts_of_a_building_are_the_whole_building() -> None:
    for building in {meter.series for meter in plan.METERS if not meter.exports}:
        parts = [meter.permille for meter in plan.METERS if meter.series == building]
        assert plan.LOAD_PERMILLE - len(parts) <= sum(parts) <= plan.LOAD_PERMILLE


@pytest.mark.parametrize("meter", plan.METERS, ids=lambda meter: meter.label)
def test_no_meter_ever_carries_more_than_its_rating(meter: plan.CampusMeter) -> None:
    assert 0 < max(TRACE.power_w(meter.series, meter.permille)) <= MODELS[meter.model].rated_power_w


def test_registers_start_where_float32_still_shows_single_wh() -> None:
    assert all(max(meter.import_wh, meter.export_wh) < 2**13 * 1000 for meter in plan.METERS)


def test_the_campus_has_enough_meters_each_on_its_own_line() -> None:
    planned = plan.campus_plan("/lines", 10, PORTS)
    assert len(planned.meters) >= 14
    assert len({meter.line.path for meter in planned.meters}) == len(planned.meters)
    assert {user.name for user in planned.users} == {meter.owner for meter in planned.meters}
    assert {user.name for user in planned.users if user.kind == "consumer"} == plan.TENANTS
