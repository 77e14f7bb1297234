"""`campusgrid ledger simulate`: run a batch and judge it, or replay one seed step by step."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

from ledger.simulation.batch import Report, run_batch
from ledger.simulation.profiles import PROFILES
from ledger.simulation.shrinking import shrink, violation_of
from ledger.simulation.trace import replay

TRACE_LINES: Final = 60
"""So much is shown of a failure's shrunk trace: its end."""
MAX_EXPLAINED: Final = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What to run: *seeds* of a profile's schedules, with *count* authorities at genesis (None: as the seed says)."""

    profile: str
    seeds: range
    count: int | None
    workers: int


def simulate(request: Request, out: TextIO, notes: TextIO, *, as_json: bool) -> int:
    """Run the batch; print its report to *out* and what went wrong to *notes*; return the exit code."""
    is_shown = notes.isatty()

    def tell(done: int) -> None:
        if is_shown:
            print(f"\r{done} of {len(request.seeds)} schedules", end="", file=notes, flush=True)

    report = run_batch(request.profile, request.seeds, request.count, request.workers, tell)
    if is_shown:
        print(file=notes)
    print(json.dumps(report.as_json()) if as_json else _table(report), file=out)
    for seed, text in list(report.violations.items())[:MAX_EXPLAINED]:
        _explain(request, seed, text, notes)
    gaps = report.gaps()
    for gap in gaps:
        print(f"coverage below its floor: {gap}", file=notes)
    return 1 if gaps or report.violations else 0


def play(request: Request, out: TextIO, wait: Callable[[], object] | None) -> int:
    """Print one seed's run event by event; with *wait* each line waits for it. Return 1 where a promise broke."""
    schedule, line = PROFILES[request.profile].draw(request.seeds[0], request.count), ""
    print(schedule, file=out)
    for line in replay(schedule):
        print(line, file=out, flush=True)
        if wait is not None:
            wait()
    return 1 if "VIOLATION" in line else 0


def _explain(request: Request, seed: int, text: str, notes: TextIO) -> None:
    profile = PROFILES[request.profile]
    smallest = shrink(profile.draw(seed, request.count), lambda one: violation_of(one, profile.run))
    print(f"VIOLATION {text}\nthe smallest schedule found that shows it: {smallest}", file=notes)
    print("\n".join(list(replay(smallest))[-TRACE_LINES:]), file=notes)
    nodes = f" --nodes {request.count}" if request.count else ""
    command = f"campusgrid ledger simulate --profile {request.profile}{nodes} --replay {seed}"
    print(f"the whole of it, step by step: {command} --step", file=notes)


def _table(report: Report) -> str:
    found = report.as_json()
    lines = [f"{name:<16} {found[name]}" for name in ("schedules", "heights_decided", "max_round", "violations")]
    lines.append(f"{'seconds':<16} {found['seconds']} ({report.schedules / max(report.seconds, 1e-9):.0f} a second)")
    for group in ("coverage", "faults"):
        lines += ["", group, *(f"  {count:>9}  {name}" for name, count in found[group].items())]
    return "\n".join(lines)


def wait_for_enter() -> None:
    """Wait until Enter is pressed (or the input ends)."""
    sys.stdin.readline()
