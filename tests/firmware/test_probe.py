"""`probe` tells which meter is on a line, its serial number, and what is wrong with its settings."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from meter import profile, profiles

from provisioning.toolchain.micropython import find_micropython
from tests.firmware.conftest import RunScript
from tests.firmware.device import MAIN
from tests.firmware.test_instrument import SLAVE, make_meter, opened

SERIAL = "20000007"
LIMIT_S = 60


def run_probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_micropython(), MAIN, "probe", *arguments], check=False, capture_output=True, text=True, timeout=LIMIT_S
    )


async def probe(name: str, folder: Path, **plate: Any) -> tuple[int, dict[str, Any]]:
    async with opened(folder / "tty", make_meter(name, **plate)) as line:
        arguments = ("--line", str(line.path), "--slave", str(SLAVE), "--json")
        done = await asyncio.to_thread(run_probe, *arguments)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", profiles.NAMES)
async def test_each_model_is_recognised(name: str, tmp_path: Path) -> None:
    status, found = await probe(name, tmp_path)
    assert (status, found["profile"], found["slave"]) == (0, name, SLAVE)
    assert found["model"].startswith(profile.load(name).model)
    has_serial = profile.load(name).serial or profile.load(name).sunspec_model
    assert found["serial_number"] == (SERIAL if has_serial else None)


@pytest.mark.parametrize(
    ("name", "setting", "what"),
    [
        ("eastron_sdm630", "mwh", "energy unit"),
        ("eastron_sdm630", "low_word_first", "word order"),
        ("carlo_gavazzi_em340", "mode_a", "measurement mode"),
        ("carlo_gavazzi_em111", "mode_a", "measurement mode"),
    ],
)
async def test_a_setting_that_changes_the_bill_is_found(name: str, setting: str, what: str, tmp_path: Path) -> None:
    status, found = await probe(name, tmp_path, settings=frozenset({setting}))
    assert (status, found["profile"]) == (1, name)
    wrong = [row["name"] for row in found["settings"] if row["wanted"] and row["value"] not in row["wanted"]]
    assert wrong == [what]


async def test_the_transformer_ratio_is_shown_to_be_compared(tmp_path: Path) -> None:
    _, found = await probe("schneider_iem3255", tmp_path)
    assert [(row["name"], row["value"]) for row in found["settings"]] == [
        ("CT primary in A", 250), ("CT secondary in A", 5),
    ]  # fmt: skip


async def test_people_get_a_page_they_can_read(tmp_path: Path) -> None:
    async with opened(tmp_path / "tty", make_meter("carlo_gavazzi_em340")) as line:
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
    assert done.returncode == 0
    assert "Carlo Gavazzi EM340" in done.stdout
    assert SERIAL in done.stdout
    assert "measurement mode 1 ok" in done.stdout


@pytest.mark.parametrize(
    "arguments", [(), ("--line",), ("--line", "x", "--slave", "0"), ("--line", "x", "--slave", "y"), ("--tty", "x")]
)
def test_a_wrong_command_line_shows_the_usage(arguments: tuple[str, ...]) -> None:
    done = run_probe(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


def test_a_line_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    done = run_probe("--line", str(tmp_path / "none"), "--slave", "1")
    assert done.returncode == 2
    assert f"cannot use {tmp_path}/none" in done.stderr


async def test_a_line_without_a_meter_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    meter = make_meter("abb_b23")
    meter.alive = False
    async with opened(tmp_path / "tty", meter) as line:
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
    assert done.returncode == 1
    assert "no meter answers" in done.stderr


async def test_a_board_is_asked_at_its_prompt(tmp_path: Path, run_script: RunScript) -> None:
    async with opened(tmp_path / "tty", make_meter("abb_b23")) as line:
        source = "import meter\nprint(meter.probe(ARGUMENTS[0], int(ARGUMENTS[1]))['profile'])"
        output = await asyncio.to_thread(run_script, source, str(line.path), str(SLAVE))
    assert output == "abb_b23\n"
