"""`campusgrid ledger simulate`: one object, an exit code that can be trusted, and failures that can be replayed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.cli import app
from ledger.consensus.height import Height, Lock
from ledger.consensus.machine import Machine
from ledger.simulation import command
from ledger.simulation.profiles import PROFILES, Profile
from ledger.simulation.sampling import sample
from ledger.simulation.schedule import Schedule
from ledger.simulation.shrinking import shrink, violation_of
from ledger.simulation.trace import replay
from ledger.simulation.world import Outcome, World, run

COMMAND = Path(sys.executable).with_name("campusgrid")
PATIENCE_S = 60
KEYS = {"schedules", "heights_decided", "max_round", "violations", "coverage", "faults", "seconds"}


class UnlocksEveryRound(Machine):
    def _start_round(self, round_: int, at: Height) -> None:
        at.locked = Lock()
        super()._start_round(round_, at)


def run_unlocking(schedule: Schedule) -> Outcome:
    return run(schedule, make_machine=UnlocksEveryRound)


def simulate(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["simulate", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_it_prints_one_object_with_what_was_seen() -> None:
    code, out, err = simulate("--profile", "membership", "--seeds", "20", "--start", "5", "--workers", "1", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert set(found) == KEYS
    assert (found["schedules"], found["violations"]) == (20, 0)


def test_several_processes_come_to_the_same_sum_as_one() -> None:
    sums = []
    for workers in ("1", "2"):
        _, out, _ = simulate("--seeds", "60", "--nodes", "5", "--workers", workers, "--json")
        sums.append({key: value for key, value in json.loads(out).items() if key != "seconds"})
    assert sums[0] == sums[1]


def test_a_batch_in_which_too_little_happened_is_a_failure() -> None:
    code, out, err = simulate("--seeds", "1", "--json")
    assert code == 1
    assert json.loads(out)["violations"] == 0
    assert "coverage below its floor: never happened" in err


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    code, _, err = simulate("--profile", "storm")
    assert code == 2
    assert "swarm" in err
    assert simulate("--profile", "twins", "--nodes", "7")[0] == 2


def test_a_seed_is_replayed_event_by_event() -> None:
    code, out, _ = simulate("--replay", "3")
    assert code == 0
    assert "cast prevote 0 A" in out
    assert out.splitlines()[-1].endswith("heights decided")


def test_each_step_waits_for_enter() -> None:
    waited: list[int] = []
    request = command.Request("crash", range(1, 2), None, 1)
    out = io.StringIO()
    assert command.play(request, out, lambda: waited.append(1)) == 0
    assert len(waited) == len(out.getvalue().splitlines()) - 1


def test_a_failure_shrinks_to_fewer_faults_and_its_trace_ends_with_what_broke() -> None:
    drawn = next(sample(seed) for seed in range(200) if violation_of(sample(seed), run_unlocking))
    smallest = shrink(drawn, lambda one: violation_of(one, run_unlocking))
    assert violation_of(smallest, run_unlocking) is not None
    assert smallest != drawn
    trace = list(replay(smallest, lambda one: World(one, make_machine=UnlocksEveryRound)))
    assert "VIOLATION" in trace[-1]


def test_a_broken_promise_is_told_with_its_seed_and_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Profile("a wrong core", sample, frozenset(), run=run_unlocking)
    monkeypatch.setattr("ledger.simulation.batch.PROFILES", {"wrong": broken})
    monkeypatch.setattr("ledger.simulation.command.PROFILES", {**PROFILES, "wrong": broken})
    out, notes = io.StringIO(), io.StringIO()
    assert command.simulate(command.Request("wrong", range(40), None, 1), out, notes, as_json=True) == 1
    assert json.loads(out.getvalue())["violations"] > 0
    assert "VIOLATION seed" in notes.getvalue()
    assert "--replay" in notes.getvalue()


def test_ctrl_c_ends_a_long_batch_and_its_workers() -> None:
    arguments = ["ledger", "simulate", "--seeds", "100000", "--workers", "2"]
    with subprocess.Popen(
        [str(COMMAND), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as batch:
        try:
            children = Path(f"/proc/{batch.pid}/task/{batch.pid}/children")
            limit = time.monotonic() + PATIENCE_S
            while len(children.read_text().split()) < 2:
                assert batch.poll() is None and time.monotonic() < limit, "no workers"
                time.sleep(0.05)
            os.killpg(batch.pid, signal.SIGINT)  # as a terminal does: the workers, too
            out, errors = batch.communicate(timeout=PATIENCE_S)
        finally:
            batch.kill()
    assert (batch.returncode, out) == (130, "")
    assert "Traceback" not in errors
