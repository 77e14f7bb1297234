"""The campaigns of the soak.

A campaign is a number of units and a function that runs one unit by its number and returns what was violated in it, one
text each. The number is the unit's only seed, so that a violation is run again by its number alone. A unit that counts
what happened in it returns a `Tally`; what a campaign `must_count` and never did fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.simulation.coverage import RULES, TWIN_RULES
from tests.ledger.judged_proofs import EXPECTED
from tests.soak import (
    board_vectors,
    envelopes,
    faults,
    fortnights,
    full_store,
    hostile_bytes,
    hostile_frames,
    hostile_ledger,
    judged,
    ledgers,
    processes,
)
from tests.soak.tally import Tally


@dataclass(frozen=True, slots=True)
class Campaign:
    """`target` units, each run by `run_unit(number)`; `is_parallel`: on all cores at once, a process each."""

    name: str
    target: int
    run_unit: Callable[[int], Sequence[str] | Tally]
    must_count: frozenset[str] = frozenset()
    is_parallel: bool = False


CAMPAIGNS = (
    Campaign("ledger.altered_readings", 20_000, envelopes.alter_reading),
    Campaign("ledger.judged_proofs", judged.UNITS, judged.compare_verdicts, EXPECTED, is_parallel=True),
    Campaign("ledger.model_three_rounds", 1, ledgers.search_model),
    Campaign("ledger.twins_three_rounds", ledgers.TWIN_UNITS, ledgers.run_twins, TWIN_RULES, is_parallel=True),
    Campaign("ledger.schedules", ledgers.SWARM_UNITS, ledgers.run_swarm, RULES, is_parallel=True),
    Campaign("ledger.executed_schedules", ledgers.EXECUTED_UNITS, ledgers.run_executed, is_parallel=True),
    Campaign(
        "ledger.hostile_bytes",
        hostile_ledger.UNITS,
        hostile_ledger.attack_decoder,
        hostile_ledger.OUTCOMES,
        is_parallel=True,
    ),
    Campaign("ledger.process_faults", processes.UNITS, processes.run_unit, processes.KINDS),
    Campaign("ledger.hostile_node", hostile_ledger.NODE_UNITS, hostile_ledger.attack_whole_node, is_parallel=True),
    Campaign("firmware.hostile_bytes_cpython", hostile_bytes.count_units(), hostile_bytes.attack_cpython),
    Campaign("firmware.hostile_bytes_micropython", hostile_bytes.count_units(), hostile_bytes.attack_micropython),
    Campaign("firmware.board_vectors", board_vectors.count_units(), board_vectors.ask_board),
    Campaign("gateway.hostile_frames", hostile_frames.UNITS, hostile_frames.attack_intake, hostile_frames.REASONS),
    Campaign("gateway.full_store", full_store.UNITS, full_store.fill_store),
    Campaign("gateway.faults", faults.UNITS, faults.inject, faults.KINDS),
    Campaign("market.fortnights", fortnights.UNITS, fortnights.replay, is_parallel=True),
)
