"""The ledger's bench: what four nodes finalise and how soon, and what a schedule of the simulator costs.

Simulated schedules are counted by the processor time of both processes, so that the machine's other work is not taken
for the simulator's.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.simulation.batch import run_batch
from tests.bench import ledger_latency, ledger_load
from tests.bench.measure import Row, at_least

SCHEDULES = 3_000
SCHEDULES_PER_SECOND = 150
CORES = 2


def measure() -> Iterator[Row]:
    """Load four nodes, time them, and run a batch of swarm schedules; a broken promise is no figure."""
    yield from ledger_load.measure()
    yield from ledger_latency.measure()
    report = run_batch("swarm", range(SCHEDULES), workers=CORES)
    if report.violations or report.gaps():
        raise ValueError(f"the batch failed: {report.violations} {report.gaps()}")
    rate = round(CORES * report.schedules / report.cpu_seconds, 1)
    unit = f"schedules/s on two cores, by processor time; {report.schedules / report.seconds:.1f}/s on the clock"
    yield at_least("ledger.simulated_schedules", rate, unit, SCHEDULES_PER_SECOND)
