"""`python -m tests.soak [PREFIX]`: run the campaigns and keep soak.json up to date; goes on where it stopped."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.measure import write_json
from tests.soak.campaigns import CAMPAIGNS, Campaign
from tests.soak.tally import Tally

RESULT = Path(__file__).resolve().parents[2] / "soak.json"
SAVE_EVERY_S = 1.0


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
    saved_s = time.monotonic()
    while entry["done"] < campaign.target:
        number = entry["done"]
        result = campaign.run_unit(number)
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
    print(f"{campaign.name}: {entry['done']} of {entry['target']} done, {entry['violations']} violations", flush=True)
    for name, count in sorted(entry.get("counts", {}).items()):
        print(f"  {name}: {count}", flush=True)
    for name in _find_uncounted(campaign, entry):
        print(f"{campaign.name}: {name} never happened", flush=True)


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
