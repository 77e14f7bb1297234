"""A plan is checked whole before anything is made of it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from provisioning import plan
from provisioning.errors import PlanError

GOOD = """
name = "campus"
[[users]]
name = "bakery"
kind = "consumer"
[[meters]]
label = "oven"
profile = "eastron_sdm120"
rated_power_w = 10000
can_export = false
owner = "bakery"
line = { path = "/dev/ttyUSB0" }
"""


def load(tmp_path: Path, text: str) -> plan.CampusPlan:
    (tmp_path / "plan.toml").write_text(text)
    return plan.load(tmp_path / "plan.toml")


def test_a_short_plan_gets_the_campus_defaults(tmp_path: Path) -> None:
    read = load(tmp_path, GOOD)
    assert read.authorities == ("ERC", "MEA", "PEA", "EGAT")
    assert read.parameters.epoch_s == 900
    assert read.meters[0].line.baud == 9600


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "not TOML"),
        (GOOD.replace('owner = "bakery"', 'owner = "nobody"'), "'nobody' is not among the users"),
        (GOOD.replace("rated_power_w = 10000", "rated_power_w = 0"), "meters.0.rated_power_w"),
        (GOOD.replace("rated_power_w", "rated_powr_w"), "meters.0.rated_power"),
        (GOOD.replace('kind = "consumer"', 'kind = "king"'), "users.0.kind"),
        (GOOD.replace('"/dev/ttyUSB0" }', '"/dev/ttyUSB0", baud = 1 }'), "meters.0.line.baud"),
        (GOOD + '[[users]]\nname = "bakery"\nkind = "consumer"\n', "two users share one name"),
        ("authorities = ['A', 'B', 'C']" + GOOD, "4 authorities"),
        (f"grid_balance_aip = {plan.MAX_BALANCES_AIP + 1}" + GOOD, "all balances together are more than the"),
        (GOOD + "[parameters]\nepoch_s = 0\n", "parameters.epoch_s"),
        (GOOD + "[ports]\nbroker = 8080\n", "port 8080 is given twice"),
        (GOOD + "[ports]\ngateway = 30334\n", "port 30334 is given twice"),
        ("time_servers = ['a:b']" + GOOD, "time_servers.0"),
        (f"time_servers = {[f'ntp{place}' for place in range(9)]}" + GOOD, "time_servers"),
        (GOOD.replace("eastron_sdm120", "nosuch"), "'nosuch' is no meter profile; choose one of abb_b23, abb_b24"),
        (GOOD.replace("eastron_sdm120", "__init__"), "'__init__' is no meter profile"),
        (GOOD.replace('"oven"', '"o\\u202even"'), "meters.0.label: has characters that hide or turn others"),
        (GOOD.replace('"oven"', '"o\\u009bven"'), "meters.0.label: has characters that hide or turn others"),
        ("", "name"),
    ],
)
def test_a_plan_with_a_fault_is_refused_in_one_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(PlanError) as refused:
        load(tmp_path, text)
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("profile", runpy.run_path(str(plan.PROFILES / "__init__.py"))["NAMES"])
def test_every_profile_of_the_firmware_can_be_planned(tmp_path: Path, profile: str) -> None:
    assert load(tmp_path, GOOD.replace("eastron_sdm120", profile)).meters[0].profile == profile


def test_an_eleventh_meter_of_one_user_is_refused(tmp_path: Path) -> None:
    meter = GOOD[GOOD.index("[[meters]]") :]
    more = "".join(meter.replace("oven", f"oven {place}") for place in range(10))
    with pytest.raises(PlanError, match="more than 10 meters"):
        load(tmp_path, GOOD + more)
