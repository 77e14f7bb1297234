"""Every case of which `make test` asks the virtual board a sample only: all published vectors hold on it too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.firmware.check_cases import CHECKS, Check, Pairs, right_answers
from tests.firmware.interpreters import ask_board as ask

CASES_PER_UNIT = 40


def count_units() -> int:
    """Return how many units there are."""
    return len(_units())


def ask_board(number: int) -> list[str]:
    """Ask the board one unit of cases; return what it answered wrong."""
    check, pairs = _units()[number]
    cases = [case for case, _ in pairs]
    answers = zip(cases, ask(check.module, cases, Path()), right_answers(check, pairs), strict=True)
    return [f"{check.name}: {answer} to {case}, not {right}" for case, answer, right in answers if answer != right]


@cache
def _units() -> list[tuple[Check, Pairs]]:
    sampled = [(check, check.pairs()) for check in CHECKS if check.on_board_every > 1]
    return [
        (check, pairs[place : place + CASES_PER_UNIT])
        for check, pairs in sampled
        for place in range(0, len(pairs), CASES_PER_UNIT)
    ]
