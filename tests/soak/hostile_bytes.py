"""Hostile bytes for the firmware's parsers: a clear refusal, no crash, no hang; on CPython and on real MicroPython."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioning.toolchain.micropython import find_micropython

CASES_PER_UNIT = 1000
CASES_PER_PROCESS = 20_000
PROCESS_LIMIT_S = 300
FIRMWARE = Path(__file__).parents[2] / "firmware"
FUZZ = Path(__file__).parents[1] / "firmware"


def attack_firmware(number: int) -> list[str]:
    """Run one unit of cases on CPython; return what was violated."""
    if str(FIRMWARE) not in sys.path:
        sys.path.insert(0, str(FIRMWARE))
    from tests.firmware import fuzz

    return fuzz.run(number * CASES_PER_UNIT, CASES_PER_UNIT)


def attack_micropython(number: int) -> list[str]:
    """Run the same cases, more to a unit, in one MicroPython process; return what was violated."""
    source = (
        f"import sys\nsys.path[:0] = {[str(FIRMWARE), str(FUZZ)]!r}\nimport fuzz\n"
        f"print('\\n'.join(fuzz.run({number * CASES_PER_PROCESS}, {CASES_PER_PROCESS})))"
    )
    try:
        done = subprocess.run(
            [find_micropython(), "-c", source], check=False, capture_output=True, text=True, timeout=PROCESS_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return [f"no end within {PROCESS_LIMIT_S} s"]
    crash = [f"MicroPython ended with status {done.returncode}: {done.stderr}"] if done.returncode else []
    return crash + [line for line in done.stdout.splitlines() if line]
