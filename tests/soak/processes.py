"""Ledgers of real processes under faults, several runs to a unit; every kind of fault must have struck."""

from __future__ import annotations

from typing import Final

from tests.ledger.faults import campaign
from tests.ledger.faults.schedule import Kind
from tests.soak.tally import Tally

RUNS: Final = 240
UNITS: Final = RUNS // campaign.RUNS_PER_UNIT
KINDS: Final = frozenset(kind.value for kind in Kind) | {"refused transfers", "rounds beyond the first"}


def run_unit(number: int) -> Tally:
    """Run one unit; return what was violated, and how often which fault struck."""
    return campaign.run_unit(number)
