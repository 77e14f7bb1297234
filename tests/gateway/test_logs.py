"""Each line of the gateway's log is one JSON object that says who wrote it; a module may have a level of its own."""

from __future__ import annotations

import json

import pytest
import structlog

from gateway import logs
from gateway.settings import Level, LogSettings
from tests.gateway.plant import Plant, wait_for


def test_every_line_of_a_running_gateway_is_json_with_time_level_and_module(plant: Plant) -> None:
    plant.start()
    wait_for(lambda: "gateway started" in plant.gateway_log(), "the start")
    lines = [json.loads(line) for line in plant.gateway_log().splitlines()]
    modules = {line["event"]: line["module"] for line in lines}
    assert (modules["gateway started"], modules["broker connected"]) == ("gateway.run", "gateway.intake.mqtt")
    assert all({"event", "level", "module", "timestamp"} <= line.keys() for line in lines)


def test_a_module_has_the_level_of_the_longest_name_that_is_set_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    levels: dict[str, Level] = {"tests.gateway": "error", "tests.gateway.test_logs": "debug"}
    before = structlog.get_config()
    try:
        logs.configure(LogSettings.model_construct(level="warning", levels=levels, form="json"))
        structlog.get_logger().debug("told")
        logs.configure(LogSettings.model_construct(level="debug", levels={"tests.gateway": "error"}, form="json"))
        structlog.get_logger().warning("kept quiet")
    finally:
        structlog.configure(**before)
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["told"]


def test_text_is_for_people(plant: Plant) -> None:
    plant.config.write_text(plant.config.read_text() + '[log]\nlevel = "info"\nform = "text"\n')
    plant.start()
    assert "[info     ] broker connected" in plant.gateway_log()
