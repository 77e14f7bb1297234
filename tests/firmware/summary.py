"""What the firmware's tests tell at the end of a run: the matrix of interpreters, and how much was tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

ASKED = "asked"
"""Property of a test that asked an interpreter: [check, interpreter, number of cases]."""
TRIED = "tried"
"""Property of a test: a line of text."""


def lines(reports: Iterable[Any]) -> Iterator[str]:
    """Give the lines of the summary of tests that passed, file by file, in whatever order the files were done."""
    in_order = sorted(reports, key=lambda report: report.nodeid.partition("::")[0])
    properties = [pair for report in in_order for pair in report.user_properties]
    yield from _matrix([value for name, value in properties if name == ASKED])
    yield from (value for name, value in properties if name == TRIED)


def _matrix(asked: list[tuple[str, str, int]]) -> Iterator[str]:
    """Give a row for each check, a column for each interpreter: how many cases were answered right; "-": not asked."""
    if not asked:
        return
    counts = {(check, interpreter): str(count) for check, interpreter, count in asked}
    checks = list(dict.fromkeys(check for check, _, _ in asked))
    interpreters = list(dict.fromkeys(interpreter for _, interpreter, _ in asked))
    width = max(len(text) for text in checks)
    yield " " * width + "".join(f"  {name:>14}" for name in interpreters)
    for check in checks:
        yield f"{check:<{width}}" + "".join(f"  {counts.get((check, name), '-'):>14}" for name in interpreters)
