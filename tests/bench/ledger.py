"""How many simulated schedules run in a second on all cores: what a million of them in the soak costs."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ledger.simulation.batch import run_batch
from tests.bench.measure import Row, at_least

SCHEDULES = 3_000
SCHEDULES_PER_SECOND = 150
"""On two cores."""


def measure() -> Iterator[Row]:
    """Run a batch of swarm schedules; a broken promise is no figure."""
    report = run_batch("swarm", range(SCHEDULES), workers=min(2, os.cpu_count() or 1))
    if report.violations or report.gaps():
        raise ValueError(f"the batch failed: {report.violations} {report.gaps()}")
    rate = round(report.schedules / report.seconds, 1)
    yield at_least("ledger.simulated_schedules", rate, "schedules/s on two cores", SCHEDULES_PER_SECOND)
