"""Runs SPIN on `locking.pml`: the generated checker searches every state of so many rounds."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provisioning.toolchain.spin import find_spin

MODEL = Path(__file__).with_name("locking.pml")
DEPTH = 1_000_000
STATES_LOG2 = 24
MEMORY_MIB = 6_000
COMPILE_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Search:
    """What a search came to: errors found (it stops at the first), states seen, whether it saw all there are."""

    errors: int
    states: int
    is_complete: bool


def search(folder: Path, *definitions: str, optimize: str = "-O1", limit_s: float = 100) -> Search:
    """Search the model under *definitions* (`ROUNDS=3`, a mutant's name), with *folder* for what is generated."""
    options = [f"-D{one}" for one in definitions]
    _run([str(find_spin()), *options, "-a", str(MODEL)], folder, COMPILE_LIMIT_S)
    flags = ["-w", optimize, "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MIB}"]
    _run(["gcc", *flags, "-o", "pan", "pan.c"], folder, COMPILE_LIMIT_S)
    text = _run([str(folder / "pan"), f"-m{DEPTH}", f"-w{STATES_LOG2}"], folder, limit_s)
    errors, states = re.search(r"errors: (\d+)", text), re.search(r"(\d+(?:\.\d+)?(?:e\+\d+)?) states, stored", text)
    assert errors is not None, text
    assert states is not None, text
    is_complete = "Search not completed" not in text and "max search depth too small" not in text
    return Search(int(errors[1]), int(float(states[1])), is_complete)


def _run(command: list[str], folder: Path, limit_s: float) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
    return done.stdout
