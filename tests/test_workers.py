"""A run by several workers: no two tests meet at a port, and what all of them tell comes together at the end."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from hil.ports import BLOCK, LOOPBACK, free_port, free_ports
from tests.order import LONGEST
from tests.parts import BARS_S

ROOT = Path(__file__).resolve().parents[1]
SOME = 50
ASK = f"from hil.ports import free_ports; print(*free_ports({SOME}))"


def test_no_two_processes_are_given_the_same_port() -> None:
    ours = set(free_ports(SOME))
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=True)
    theirs = {int(port) for port in done.stdout.split()}
    assert len(theirs) == len(ours) == SOME
    assert ours.isdisjoint(theirs)


def test_a_port_in_use_is_not_given_when_its_turn_comes_again() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, free_port()))
        assert taken.getsockname()[1] not in free_ports(BLOCK)


def test_what_workers_tried_and_took_is_told_once_at_the_end() -> None:
    measured = "test_a_bar_that_is_missed_stays_in_the_list"
    chosen = f"{measured} or (CPython and appendix)"
    asked = ["tests/firmware/test_interpreters.py", "tests/test_measure.py", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", *asked],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert told.count(["CPython"]) == 1  # the head of the matrix, and below it one check, with so many cases
    assert told[told.index(["CPython"]) + 1][:-1] == ["CBOR:", "RFC", "8949", "appendix", "A"]
    assert [line[:2] for line in told if line and line[0] in BARS_S] == [["skeleton", "1"], ["firmware", "1"]]
    assert "slowest 10 durations" in done.stdout


def test_the_files_to_begin_with_are_there() -> None:
    assert [file for file in LONGEST if not (ROOT / file).is_file()] == []
