"""The whole product from its command line: the way of a reading, its report, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hil.ports import free_port
from ledger import checkpoint
from tests.demo_run import COMMAND, ROOT, DemoRun, started
from tests.ledger.test_proof import assert_every_flipped_bit_is_refused

ALTERED_FILES = 60
MAX_DURATION_S = 150
END_S = 30.0


def test_the_demo_ends_well_within_its_time_and_leaves_nothing_running(demo_run: DemoRun) -> None:
    assert (demo_run.code, demo_run.errors) == (0, ""), demo_run.output
    assert demo_run.duration_s <= MAX_DURATION_S
    assert demo_run.report["duration_s"] <= demo_run.duration_s
    assert demo_run.left == []
    assert sorted(path.name for path in demo_run.folder.iterdir()) == [
        "output.txt", "report.json", "report.tlog-proof", "report.vkeys",
    ]  # fmt: skip


def test_the_demo_shows_where_to_look_and_how_it_goes(demo_run: DemoRun) -> None:
    for text in ("dashboard: http://127.0.0.1:", "signed", "stored", "height", "Wh matched at", "µAIP/kWh"):
        assert text in demo_run.output


def test_every_signed_reading_is_stored_once(demo_run: DemoRun) -> None:
    readings = demo_run.report["readings"]
    assert set(readings) == {"signed", "stored", "refused", "lost", "duplicated"}
    assert readings["signed"] == readings["stored"] > len(demo_run.report["meters"])
    assert readings["lost"] == readings["duplicated"] == readings["refused"] == 0


def test_twelve_or_more_meters_run_on_real_micropython(demo_run: DemoRun) -> None:
    meters = demo_run.report["meters"]
    assert len({meter["id"] for meter in meters}) == len(meters) >= 12
    assert {meter["model"] for meter in meters} == {"eastron_sdm120", "eastron_sdm630"}
    assert all(meter["interpreter"].startswith("micropython 1.") for meter in meters)


def test_three_epochs_settle_with_matched_energy(demo_run: DemoRun) -> None:
    epochs = demo_run.report["epochs"]
    numbers = [epoch["epoch"] for epoch in epochs]
    assert numbers == list(range(numbers[0], numbers[0] + len(epochs)))
    assert all(epoch["settled"] is True for epoch in epochs)
    assert len(epochs) >= 3
    traded = [epoch for epoch in epochs if epoch["orders"]]
    assert traded
    for epoch in traded:
        assert epoch["matched_wh"] > 0
        assert type(epoch["price_uaip_per_kwh"]) is int


def test_four_nodes_have_one_state_at_one_height(demo_run: DemoRun) -> None:
    ledger = demo_run.report["ledger"]
    assert sorted(node["name"] for node in ledger["nodes"]) == ["EGAT", "ERC", "MEA", "PEA"]
    assert {node["height"] for node in ledger["nodes"]} == {ledger["height"]}
    assert len({node["state_root"] for node in ledger["nodes"]}) == 1
    assert 0 < ledger["finality_ms"]["p50"] <= ledger["finality_ms"]["p95"]


def test_energy_money_and_grid_are_conserved(demo_run: DemoRun) -> None:
    assert demo_run.report["conservation"] == {"energy": True, "money": True, "grid_supply": True}
    assert demo_run.report["failures"] == []


def test_the_proof_is_verified_from_the_commands_own_folder(demo_run: DemoRun) -> None:
    proof = demo_run.report["proof"]
    assert proof["verified"] is True
    done = run_in(demo_run.folder, "verify", proof["file"], "--authorities", proof["authorities"], "--json")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)["line"]
    assert line["bought_wh"] > 0
    assert line["epoch"] in {epoch["epoch"] for epoch in demo_run.report["epochs"]}


def test_every_flipped_bit_of_the_demos_proof_is_refused(demo_run: DemoRun) -> None:
    verifiers = checkpoint.parse_keys(demo_run.keys.read_text())
    assert_every_flipped_bit_is_refused(demo_run.proof.read_bytes(), verifiers)


def test_sixty_altered_proofs_are_refused_by_the_command_with_what_failed(demo_run: DemoRun, tmp_path: Path) -> None:
    good = demo_run.proof.read_bytes()
    reasons = set()
    for number in range(ALTERED_FILES):
        altered = bytearray(good)
        altered[number * len(good) // ALTERED_FILES] ^= 1 << number % 8
        (tmp_path / "altered.tlog-proof").write_bytes(altered)
        done = run_in(tmp_path, "verify", "altered.tlog-proof", "--authorities", str(demo_run.keys))
        assert done.returncode == 1, number
        assert_one_line(done.stderr)
        reasons.add(done.stderr.split("is refused: ")[1].split(":")[0])
    assert reasons >= {"format", "checkpoint", "cosignatures"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_asked_to_end_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    said = "the meters start to read" if number is signal.SIGINT else "starting serial lines"
    with started(["--port", str(free_port())], tmp_path) as run:
        run.wait_for(said)
        run.process.send_signal(number)
        code, errors = run.end(END_S)
        assert (code, errors) == (0, "")
        assert run.left() == []
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


def test_an_interrupted_headless_demo_says_so_and_fails(tmp_path: Path) -> None:
    arguments = ["--epochs", "3", "--exit", "--report", "report.json", "--port", str(free_port())]
    with started(arguments, tmp_path) as run:
        run.wait_for("starting serial lines")
        run.process.send_signal(signal.SIGINT)
        code, errors = run.end(END_S)
        assert code == 130
        assert_one_line(errors, "interrupted")
        assert run.left() == []
    assert not (tmp_path / "report.json").exists()


def test_a_demo_killed_outright_takes_all_its_children_with_it(tmp_path: Path) -> None:
    with started(["--port", str(free_port())], tmp_path) as run:
        run.wait_for("the meters start to read")
        run.process.kill()
        run.end(END_S)
        assert run.left() == []


def test_a_part_that_fails_ends_the_demo_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "mosquitto"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no more brokers today >&2\nexit 3\n")
    broken.chmod(0o755)
    path = f"{broken.parent}:{os.environ['PATH']}"
    with started(["--port", str(free_port())], tmp_path, PATH=path) as run:
        code, errors = run.end(END_S)
        assert code == 1
        assert_one_line(errors, "broker ended with code 3: no more brokers today")
        assert run.left() == []


def test_an_occupied_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuse(tmp_path, [f"--port={port}"], f"port {port} cannot be used: Address already in use. Choose another")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--exit"], "--exit needs --epochs"),
        (["--report", "report.json"], "--report needs --epochs"),
        (["--epochs", "0", "--exit"], "epochs"),
        (["--epochs", "three"], "epochs"),
        (["--epoch-seconds", "1"], "epoch-seconds"),
        (["--port", "70000"], "port"),
        (["--no-such-option"], "no-such-option"),
        (["--epochs", "1", "--report", "no/such/folder/report.json"], "report no/such/folder/report.json"),
        (["--epochs", "1", "--report", "."], "cannot be written"),
        (["--directory", "/proc/campus"], "/proc/campus"),
        (["--directory", "output.txt/campus"], "output.txt/campus"),
        (["--directory", "."], "not empty"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(tmp_path: Path, arguments: list[str], text: str) -> None:
    port = [] if "--port" in arguments else ["--port", str(free_port())]
    refuse(tmp_path, [*arguments, *port], text)


@pytest.mark.parametrize(
    ("tool", "hiding"),
    [
        # without a PATH only an unpacked MicroPython would be found, not an installed one
        (
            "mosquitto",
            "import hil.tools as t; t.find_micropython = Path; m.SYSTEM_FOLDERS = (); m.UNPACKED = Path('/no')",
        ),
        ("micropython", "m._found = lambda: None"),
    ],
)
def test_an_absent_tool_is_one_clear_line_with_the_command_that_gets_it(tmp_path: Path, tool: str, hiding: str) -> None:
    hide = f"from pathlib import Path; from provisioning.toolchain import {tool} as m; {hiding}"
    code = f"import sys; {hide}; from gateway.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--port", str(free_port())],
        cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert_one_line(done.stderr, f"run `make {tool}`")


def refuse(folder: Path, arguments: list[str], text: str) -> None:
    """Hold that the demo refuses *arguments* with one line that holds *text*, and starts nothing."""
    with started(arguments, folder) as run:
        code, errors = run.end(END_S)
        assert code in (1, 2)
        assert_one_line(errors, text)
        assert run.left() == []


def run_in(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False, **options
    )


def assert_one_line(errors: str, text: str = "") -> None:
    assert errors.count("\n") == 1, errors
    assert errors.startswith("campusgrid: ")
    assert text in errors
    assert "Traceback" not in errors
