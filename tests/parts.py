"""What each part of the product costs in a run of the tests, beside what it may cost on two cores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

BARS_S = {"skeleton": 180, "firmware": 180, "gateway": 180, "ledger": 240, "market": 60}
"""In seconds of the run; `make test` has 900 of them for everything, with what it sets up."""
FOLDERS = (
    ("tests/firmware/", "firmware"),
    ("tests/gateway/", "gateway"),
    ("tests/ledger/market/", "market"),
    ("tests/ledger/", "ledger"),
)
"""Where a part's tests are, first match first; all the others are the skeleton's: demo, rig, provisioning, the tree."""


def part(nodeid: str) -> str:
    """Return the part to which a test belongs."""
    return next((name for folder, name in FOLDERS if nodeid.startswith(folder)), "skeleton")


def lines(reports: Iterable[Any], workers: int) -> Iterator[str]:
    """Give the table of the parts: the seconds of all *workers*, and what they are of the run; none for one part."""
    tests: dict[str, set[str]] = defaultdict(set)
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        if hasattr(report, "duration") and hasattr(report, "when"):  # not the collector's
            tests[part(report.nodeid)].add(report.nodeid)
            seconds[part(report.nodeid)] += report.duration
    if len(tests) < 2:
        return
    yield f"{'part':<10}{'tests':>8}{'seconds':>10}{f'in {workers} workers':>14}{'bar':>8}"
    for name in (name for name in BARS_S if name in tests):
        spent_s = seconds[name]
        yield f"{name:<10}{len(tests[name]):>8}{spent_s:>10.0f}{spent_s / workers:>14.0f}{BARS_S[name]:>8}"
