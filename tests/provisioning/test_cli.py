"""`campusgrid provision` as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import campus

COMMAND = Path(sys.executable).with_name("campusgrid")
PLAN = """
name = "campus"
ports = { broker = 1, gateway = 2 }
[[users]]
name = "bakery"
kind = "consumer"
[[meters]]
label = "oven"
profile = "eastron_sdm120"
rated_power_w = 10000
can_export = false
owner = "bakery"
line = { path = "/dev/ttyUSB0", baud = 2400 }
"""


def provision(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), "provision", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


@pytest.mark.usefixtures("micropython", "mosquitto_passwd")
def test_a_plan_becomes_a_campus_whose_meters_have_their_own_keys(folder: Path) -> None:
    laid_out = provision(folder, "campus", "my campus", "--plan", "plan.toml")
    assert (laid_out.returncode, laid_out.stderr) == (0, "")
    assert "4 authorities, 1 users, 1 meters" in laid_out.stdout
    for _ in range(2):
        enrolled = provision(folder, "meters", "my campus")
        assert (enrolled.returncode, enrolled.stderr) == (0, "")
        roster = json.loads((folder / "my campus" / "roster.json").read_text())
        assert len(bytes.fromhex(roster["meters"][0]["public_key"])) == 32
    assert campus.load(folder / "my campus").meters[0].plan.label == "oven"
    refused = provision(folder, "enrol", "my campus")
    assert_one_line(refused, "no ledger node answered")
    refused = provision(folder, "rebase", "my campus")
    assert_one_line(refused, "no ledger node answered GET /v1/meters")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["campus", "new", "--plan", "absent.toml"], "absent.toml: No such file"),
        (["campus", ".", "--plan", "plan.toml"], "is not empty"),
        (["campus", "plan.toml/new", "--plan", "plan.toml"], "cannot make the folder"),
        (["campus", "new"], "--plan"),
        (["meters", "new"], "campus.json: No such file"),
        (["enrol", "new"], "campus.json: No such file"),
        (["rebase", "new"], "campus.json: No such file"),
        (["configure", "new", "--telemetry-s", "5"], "campus.json: No such file"),
        (["update", "new", "--image", "absent.image"], "campus.json: No such file"),
        (["image", "--target", "abacus", "--version", "1"], "choose one of linux"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(folder: Path, arguments: list[str], text: str) -> None:
    assert_one_line(provision(folder, *arguments), text)


@pytest.mark.usefixtures("mosquitto_passwd")
def test_what_cannot_be_sent_is_one_clear_line(folder: Path) -> None:
    assert provision(folder, "campus", "new", "--plan", "plan.toml").returncode == 0
    built = provision(folder, "image", "--target", "linux", "--version", "1")
    assert (built.returncode, "meter-linux-1.image: version 1 for linux" in built.stdout) == (0, True)
    update = ["update", "new", "--image", "meter-linux-1.image"]
    assert_one_line(provision(folder, *update), "no session with the broker at 127.0.0.1:1")
    assert_one_line(provision(folder, *update, "toaster"), "no meter 'toaster'")
    assert_one_line(provision(folder, "update", "new", "--image", "plan.toml"), "no image of a meter")
    configure = ["configure", "new", "--telemetry-s", "5"]
    assert_one_line(provision(folder, *configure, "--gateway-key", "abc"), "64 hex digits")


def assert_one_line(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    assert text in done.stderr
