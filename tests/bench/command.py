"""How soon the command line answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.measure import Row, at_most

RUNS = 7
HELP_BAR_MS = 500  # "well under a second"


def measure() -> Iterator[Row]:
    """Time `campusgrid --help`, from the start of the process to its end."""
    command = [str(Path(sys.executable).parent / "campusgrid"), "--help"]
    yield at_most("cli.help_ms", round(median(_timed_ms(command) for _ in range(RUNS)), 1), "ms", HELP_BAR_MS)


def _timed_ms(command: list[str]) -> float:
    start_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start_s) * 1000
