"""Hostile bytes for the firmware's parsers: a clear refusal, no crash, no hang, memory flat; on both interpreters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from provisioning.toolchain.micropython import find_micropython
from tests.firmware import fuzz
from tests.soak import FIRMWARE

CASES_PER_UNIT = 20_000
UNITS_PER_HANDLER = 50
"""So that each handler gets a million cases."""
UNIT_LIMIT_S = 300
Attack = Callable[[int], list[str]]
HEAP = "1m"
"""All that MicroPython has for a unit: no bytes may cost more memory than that."""
ROOT = Path(__file__).parents[2]


def attack_cpython(number: int) -> list[str]:
    """Run one unit of cases on CPython; return what was violated."""
    return _attack([sys.executable], number)


def attack_micropython(number: int) -> list[str]:
    """Run the same unit under MicroPython; return what was violated."""
    return _attack([str(find_micropython()), "-X", f"heapsize={HEAP}"], number)


def count_units() -> int:
    """Return how many units there are: a handler that is added gets its million too."""
    return UNITS_PER_HANDLER * len(fuzz.TARGETS)


def _attack(interpreter: list[str], number: int) -> list[str]:
    """Run a unit in a process of its own, whose end a hang cannot put off."""
    first = number * CASES_PER_UNIT
    source = (
        f"import sys\nsys.path[:0] = {[str(FIRMWARE), str(ROOT)]!r}\nfrom tests.firmware import fuzz\n"
        f"print('\\n'.join(fuzz.campaign({first}, {CASES_PER_UNIT})))"
    )
    try:
        done = subprocess.run(
            [*interpreter, "-c", source], check=False, capture_output=True, text=True, timeout=UNIT_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return [f"no end within {UNIT_LIMIT_S} s: one of the cases from {first} on hangs"]
    crash = [f"ended with status {done.returncode}: {done.stderr}"] if done.returncode else []
    return crash + [line for line in done.stdout.splitlines() if line]
