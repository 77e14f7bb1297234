"""`python -m tests.mutants [WORD]`: hunt all mutants (whose names hold WORD) and print the table; 1 if one lives on.

Each mutant has a process of its own, which this module runs as `python -m tests.mutants --one NUMBER`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.mutants import loader
from tests.mutants.catalogue import MUTANTS, NO_MISTAKE, Mutant

LIMIT_S = 300
DETAIL_CHARACTERS = 90


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who killed a mutant, by what, how fast; no killer: it lives."""

    mutant: Mutant
    killer: str | None
    detail: str
    seconds: float


def hunt(mutants: Sequence[Mutant], workers: int) -> Iterator[Verdict]:
    """Yield the verdict on each of *mutants*, in their order."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(_hunt_one, mutants)


def main(arguments: list[str]) -> int:
    """Hunt and print."""
    if arguments[:1] == ["--one"]:
        return _run_here(MUTANTS[int(arguments[1])])
    chosen = [mutant for mutant in MUTANTS if not arguments or arguments[0] in mutant.name]
    wrong = 0
    width = max((len(mutant.name) for mutant in chosen), default=0)
    for verdict in hunt(chosen, os.cpu_count() or 1):
        is_wrong = (verdict.killer is None) != (verdict.mutant is NO_MISTAKE)
        wrong += is_wrong
        killer = verdict.killer or ("alive" if not is_wrong else "ALIVE")
        print(f"{verdict.mutant.name:<{width}}  {killer:<9}  {verdict.seconds:6.1f} s  {verdict.detail}", flush=True)
    print(f"{len(chosen) - wrong} of {len(chosen)} as it must be: every mistake killed, the core as it is alive")
    return 1 if wrong or not chosen else 0


def _hunt_one(mutant: Mutant) -> Verdict:
    command = [sys.executable, "-m", "tests.mutants", "--one", str(MUTANTS.index(mutant))]
    started_s = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(mutant, "hang", f"no end within {LIMIT_S} s", time.monotonic() - started_s)
    seconds = time.monotonic() - started_s
    if done.returncode != 0:
        raise RuntimeError(f"the hunt for {mutant.name!r} failed: {done.stderr[-2_000:]}")
    killer, detail = json.loads(done.stdout.splitlines()[-1])
    return Verdict(mutant, killer, detail[:DETAIL_CHARACTERS], seconds)


def _run_here(mutant: Mutant) -> int:
    loader.install(mutant)
    from tests.mutants import killers

    print(json.dumps(killers.find_killer() or (None, "")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
