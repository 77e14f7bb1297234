"""Each line of the gateway's log is one JSON object that says who wrote it; a module may have a level of its own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import structlog

from gateway import logs
from gateway.settings import Level, LogSettings
from tests.gateway.plant import Plant, wait_for


@contextmanager
def as_before() -> Iterator[None]:
    """Give back how this process logs when the block is left."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)


def test_every_line_of_a_running_gateway_is_json_with_time_level_and_module(plant: Plant) -> None:
    plant.start()
    wait_for(lambda: "gateway started" in plant.gateway_log(), "the start")
    assert httpx.get(f"http://127.0.0.1:{plant.api_port}/no-such-page").status_code == 404
    lines = [json.loads(line) for line in plant.gateway_log().splitlines()]
    modules = {line["event"]: line["module"] for line in lines}
    assert (modules["gateway started"], modules["broker connected"]) == ("gateway.run", "gateway.intake.mqtt")
    assert all({"event", "level", "module", "timestamp"} <= line.keys() for line in lines)


def test_a_module_has_the_level_of_the_longest_name_that_is_set_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    levels: dict[str, Level] = {"tests.gateway": "error", "tests.gateway.test_logs": "debug"}
    with as_before():
        logs.configure(LogSettings.model_construct(level="warning", levels=levels, form="json"))
        structlog.get_logger().debug("told")
        logs.configure(LogSettings.model_construct(level="debug", levels={"tests.gateway": "error"}, form="json"))
        structlog.get_logger().warning("kept quiet")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["told"]


def test_lines_that_cannot_be_written_are_lost_and_the_process_goes_on() -> None:
    program = """
import logging
import structlog
from gateway import logs
from gateway.settings import LogSettings
logs.configure(LogSettings())
structlog.get_logger().warning("lost")
logging.getLogger("library").error("lost, too")
print("goes on")
"""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.stdout == b"goes on\n"


def test_what_a_library_logs_is_a_line_like_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    with as_before():
        logs.configure(LogSettings.model_construct(level="info", levels={}, form="json"))
        logging.getLogger("library.part").error('half\n{"event": "forged"}')
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["level"], line["module"]) == ('half\n{"event": "forged"}', "error", "library.part")


def test_text_is_for_people(plant: Plant) -> None:
    plant.config.write_text(plant.config.read_text() + '[log]\nlevel = "info"\nform = "text"\n')
    plant.start()
    assert "[info     ] broker connected" in plant.gateway_log()
