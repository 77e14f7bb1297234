"""Many schedules on all cores, and what they came to together."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from ledger.simulation.coverage import RARE
from ledger.simulation.profiles import PROFILES
from ledger.simulation.schedule import Schedule
from ledger.simulation.witness import Violation

SEEDS_PER_TASK: Final = 25
TASKS_AHEAD: Final = 3
"""So many tasks of each worker wait or run: a million handed over at once would hold the pool up for minutes."""
COLLECT_EVERY: Final = 50


@dataclass(slots=True)
class Report:
    """The sum of a batch; `violations` maps seeds to what broke, `cpu_seconds` is what all processes used together."""

    profile: str
    schedules: int = 0
    heights_decided: int = 0
    max_round: int = 0
    violations: dict[int, str] = field(default_factory=dict)
    coverage: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def add(self, other: Report) -> None:
        """Take in a part of the batch."""
        self.schedules += other.schedules
        self.heights_decided += other.heights_decided
        self.max_round = max(self.max_round, other.max_round)
        self.violations.update(other.violations)
        self.coverage.update(other.coverage)
        self.faults.update(other.faults)
        self.cpu_seconds += other.cpu_seconds

    def gaps(self) -> list[str]:
        """Return which floors the batch missed; what was never reached was never tested."""
        profile = PROFILES[self.profile]
        wanted = [rule for rule in sorted(profile.rules) if self.schedules >= RARE.get(rule, 0)]
        gaps = [f"never happened: {rule}" for rule in wanted if not self.coverage[rule]]
        if self.max_round < profile.min_round:
            gaps.append(f"no round beyond {self.max_round}, where {profile.min_round} is wanted")
        least = int(profile.min_heights * self.schedules)
        if self.heights_decided < least:
            gaps.append(f"{self.heights_decided} heights decided, where {least} are wanted")
        return gaps

    def as_json(self) -> dict[str, Any]:
        """Return the object that `simulate --json` prints."""
        return {
            "schedules": self.schedules,
            "heights_decided": self.heights_decided,
            "max_round": self.max_round,
            "violations": len(self.violations),
            "coverage": dict(sorted(self.coverage.items())),
            "faults": dict(sorted((kind, count) for kind, count in self.faults.items() if count)),
            "seconds": round(self.seconds, 3),
        }


def run_seeds(profile: str, seeds: range, count: int | None = None) -> Report:
    """Run the schedules of *seeds* one after the other in this process."""
    chosen, report = PROFILES[profile], Report(profile)
    started_s, started_cpu_s, was_enabled = time.perf_counter(), time.process_time(), gc.isenabled()
    gc.disable()  # a run's parts refer to each other in circles: collected now and then, not after every allocation
    try:
        for done, seed in enumerate(seeds, 1):
            _run_one(report, seed, chosen.draw(seed, count), chosen.run)
            if done % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        if was_enabled:
            gc.enable()
    report.seconds, report.cpu_seconds = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    return report


def run_batch(
    profile: str, seeds: range, count: int | None = None, workers: int = 1, tell: Callable[[int], None] | None = None
) -> Report:
    """Run the schedules of *seeds* in *workers* processes; *tell* hears how many are done."""
    report, started_s = Report(profile), time.perf_counter()
    for part in _parts(profile, seeds, count, workers):
        report.add(part)
        if tell is not None:
            tell(report.schedules)
    report.seconds = time.perf_counter() - started_s
    return report


def _parts(profile: str, seeds: range, count: int | None, workers: int) -> Iterator[Report]:
    tasks = [seeds[first : first + SEEDS_PER_TASK] for first in range(0, len(seeds), SEEDS_PER_TASK)]
    if workers <= 1 or len(tasks) <= 1:
        yield from (run_seeds(profile, task, count) for task in tasks)
        return
    waiting, running = iter(tasks), set[Future[Report]]()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        while True:
            with _interrupts_held_back():  # which the workers inherit: Ctrl-C reaches this process alone
                ahead = islice(waiting, TASKS_AHEAD * workers - len(running))
                running |= {pool.submit(run_seeds, profile, task, count) for task in ahead}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let SIGINT come afterwards: within, it would meet a pool or a worker that is half started, and hang it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_one(report: Report, seed: int, schedule: Schedule, run: Callable[[Schedule], Any]) -> None:
    report.schedules += 1
    try:
        outcome = run(schedule)
    except Violation as violation:
        report.violations[seed] = str(violation)
        return
    report.heights_decided += outcome.height
    report.max_round = max(report.max_round, outcome.max_round)
    report.coverage.update(outcome.coverage)
    report.faults.update(outcome.faults)
