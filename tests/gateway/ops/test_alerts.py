"""The alert rules that are shipped speak of nothing but what a running gateway measures, and all say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

import gateway
from gateway.checks.alarms import ALARM_STATES
from gateway.intake.refusals import RefusalCode
from gateway.ops.backup import make_backup
from gateway.readings.faults import AREAS
from tests.gateway.ops.conftest import Archive
from tests.gateway.plant import Plant

FILE = Path(gateway.__file__).parent / "ops" / "alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))["groups"][0]["rules"]
VALUES = {
    "area": set(AREAS), "state": set(ALARM_STATES), "reason": {code.name for code in RefusalCode},
    "what": {"logins", "requests"}, "job": {"campusgrid-gateway"},
}  # fmt: skip


def test_every_metric_of_a_rule_is_one_of_a_running_gateway(plant: Plant, archive: Archive) -> None:
    plant.config.write_text(
        plant.config.read_text()
        + f'[backup]\nfolder = "{archive.settings.folder}"\npublic_key = "{archive.settings.public_key}"\n'
    )
    plant.start()
    make_backup(archive.source, archive.settings, 1)
    text = httpx.get(f"http://127.0.0.1:{plant.api_port}/metrics", trust_env=False).text
    there = set(re.findall(r"^(campusgrid_gateway_\w+)", text, re.MULTILINE))
    used = {name for rule in RULES for name in re.findall(r"campusgrid_gateway_\w+", rule["expr"])}
    assert used - there == set()
    assert len(used) > 10


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_labels_that_exist_and_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    for label, values in re.findall(r"(\w+)=~?\"([^\"]+)\"", rule["expr"]):
        assert set(values.split("|")) <= VALUES[label]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "action"}
    assert rule["expr"].count("(") == rule["expr"].count(")")
