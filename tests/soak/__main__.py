"""`python -m tests.soak [PREFIX]`: run the campaigns and keep soak.json up to date; goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.measure import write_json
from tests.soak.campaigns import CAMPAIGNS, Campaign
from tests.soak.tally import Tally

RESULT = Path(__file__).resolve().parents[2] / "soak.json"
SAVE_EVERY_S = 1.0
TELL_EVERY_S = 10.0
UNITS_AHEAD = 2
"""So many units of each core wait or run, where a campaign's units run side by side."""


def main(arguments: list[str]) -> int:
    """Run what is left of the chosen campaigns; 1 when anything was ever violated, 130 after Ctrl-C."""
    prefix = arguments[0] if arguments else ""
    chosen = [campaign for campaign in CAMPAIGNS if campaign.name.startswith(prefix)]
    if not chosen:
        names = ", ".join(campaign.name for campaign in CAMPAIGNS)
        print(f"no campaign begins with {prefix!r}: there are {names}", file=sys.stderr)
        return 2
    progress = _load()
    try:
        for campaign in chosen:
            _run(campaign, progress)
    except KeyboardInterrupt:
        print("stopped; run `make soak` to go on", file=sys.stderr)
        return 130
    finally:
        write_json(RESULT, progress.values())
    return 1 if any(_has_failed(campaign, progress[campaign.name]) for campaign in chosen) else 0


def _run(campaign: Campaign, progress: dict[str, dict[str, Any]]) -> None:
    fresh = {"name": campaign.name, "done": 0, "target": campaign.target, "violations": 0}
    entry = progress.setdefault(campaign.name, fresh)
    entry["target"] = campaign.target
    saved_s = told_s = time.monotonic()
    for number, result in _results(campaign, entry["done"]):
        tally = result if isinstance(result, Tally) else Tally(result)
        for violation in tally.violations:
            entry["violations"] += 1
            print(f"{campaign.name} unit {number}: {violation}", flush=True)
        if tally.counts:
            entry["counts"] = dict(Counter(entry.get("counts", {})) + tally.counts)
        entry["done"] = number + 1
        if time.monotonic() - saved_s > SAVE_EVERY_S:
            write_json(RESULT, progress.values())
            saved_s = time.monotonic()
        if time.monotonic() - told_s > TELL_EVERY_S:
            told_s = time.monotonic()
            print(f"{campaign.name}: {entry['done']} of {entry['target']} …", file=sys.stderr, flush=True)
    print(f"{campaign.name}: {entry['done']} of {entry['target']} done, {entry['violations']} violations", flush=True)
    for name, count in sorted(entry.get("counts", {}).items()):
        print(f"  {name}: {count}", flush=True)
    for name in _find_uncounted(campaign, entry):
        print(f"{campaign.name}: {name} never happened", flush=True)


def _results(campaign: Campaign, first: int) -> Iterator[tuple[int, Sequence[str] | Tally]]:
    """Yield each unit from *first* on with what came of it, in order, so that a stop leaves no gap."""
    if not campaign.is_parallel:
        for number in range(first, campaign.target):
            yield number, campaign.run_unit(number)
        return
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running: deque[tuple[int, Future[Sequence[str] | Tally]]] = deque()
        try:
            for number in range(first, campaign.target):
                running.append((number, pool.submit(campaign.run_unit, number)))
                if len(running) > UNITS_AHEAD * workers:
                    yield running[0][0], running.popleft()[1].result()
            while running:
                yield running[0][0], running.popleft()[1].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _has_failed(campaign: Campaign, entry: dict[str, Any]) -> bool:
    return entry["violations"] > 0 or bool(_find_uncounted(campaign, entry))


def _find_uncounted(campaign: Campaign, entry: dict[str, Any]) -> list[str]:
    return sorted(campaign.must_count - entry.get("counts", {}).keys())


def _load() -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(RESULT.read_text())
        return {entry["name"]: entry for entry in entries}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):
        print(f"{RESULT.name} is not what a soak writes: starting anew", file=sys.stderr)
        return {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
