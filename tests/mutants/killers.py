"""What notices a mutant: the scenarios, the twins, the swarm, then the core's own tests. Imported after the mutant."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

TWINS = range(0, 4_096, 13)
SWARM = 600
BATCH = 25
TESTS = ("test_commit.py", "test_evidence.py", "test_machine.py", "test_messages.py", "test_timing.py")


def find_killer() -> tuple[str, str] | None:
    """Return who noticed and what; None where the mutant lives."""
    for name, attack in KILLERS.items():
        try:
            what = attack()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
        if what is not None:
            return name, what
    return None


def _scenarios() -> str | None:
    from tests.ledger.consensus.scenario import FOLDER, play

    for path in sorted(FOLDER.glob("*.txt")):
        text = path.read_text()
        if play(text) != text:
            return path.stem
    return None


def _twins() -> str | None:
    return _simulate("twins", [TWINS])


def _swarm() -> str | None:
    return _simulate("swarm", [range(first, first + BATCH) for first in range(0, SWARM, BATCH)])


def _simulate(profile: str, batches: list[range]) -> str | None:
    from ledger.simulation.batch import Report, run_seeds

    total = Report(profile)
    for seeds in batches:
        total.add(run_seeds(profile, seeds))
        if total.violations:
            return next(iter(total.violations.values()))
    return "; ".join(total.gaps()) or None


def _tests() -> str | None:
    folder = Path(__file__).parents[1] / "ledger" / "consensus"
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet):
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(str(folder / name) for name in TESTS)])
    failed = [line for line in quiet.getvalue().splitlines() if line.startswith("FAILED")]
    return (failed[0].removeprefix("FAILED ") if failed else f"pytest ended with {code}") if code else None


KILLERS: dict[str, Callable[[], str | None]] = {
    "scenarios": _scenarios,
    "twins": _twins,
    "swarm": _swarm,
    "tests": _tests,
}
