"""Simulated ledgers by the million, twins through three rounds, and the model's three rounds, in numbered units."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ledger.simulation.batch import run_seeds
from ledger.simulation.twins import ROUNDS
from tests.ledger.consensus.model import search
from tests.soak.tally import Tally

SCHEDULES_PER_UNIT = 500
SWARM_UNITS = 2_000
"""A million schedules."""
FIRST_SEED = 1_000_000
"""Beyond the seeds of `make test`."""
TWINS_PER_UNIT = 1_024
TWIN_UNITS = ROUNDS**3 // TWINS_PER_UNIT
EXECUTED_PER_UNIT = 20
EXECUTED_UNITS = 500
MODEL_LIMIT_S = 7_200


def run_swarm(number: int) -> Tally:
    """Run one unit of swarm schedules; return what broke, what it should have reached and did not, and what fired."""
    first = FIRST_SEED + number * SCHEDULES_PER_UNIT
    report = run_seeds("swarm", range(first, first + SCHEDULES_PER_UNIT))
    return Tally([*report.violations.values(), *report.gaps()], report.coverage)


def run_twins(number: int) -> Tally:
    """Run one unit of the twins' three rounds; all of them must decide."""
    first = number * TWINS_PER_UNIT
    report = run_seeds("twins3", range(first, first + TWINS_PER_UNIT))
    undecided = report.schedules - report.heights_decided
    idle = [f"{undecided} schedules decided nothing"] if undecided > 0 else []
    return Tally([*report.violations.values(), *idle], report.coverage)


def run_executed(number: int) -> list[str]:
    """Run one unit of schedules with the real runtime and real signatures."""
    first = FIRST_SEED + number * EXECUTED_PER_UNIT
    return list(run_seeds("runtime", range(first, first + EXECUTED_PER_UNIT)).violations.values())


def search_model(_: int) -> list[str]:
    """Search every state of three rounds of the locking rule."""
    with tempfile.TemporaryDirectory() as folder:
        found = search(Path(folder), "ROUNDS=3", optimize="-O2", limit_s=MODEL_LIMIT_S)
    if found.errors:
        return ["the model decides two values"]
    return [] if found.is_complete else [f"the search ended after {found.states} states, before it had seen all"]
