"""Hostile bytes for the ledger's decoders and handlers, a million and more: refused in good order, or canonical."""

from __future__ import annotations

import resource
from typing import Final

from tests.ledger.hostile import attack, targets
from tests.soak.tally import Tally

CASES_PER_UNIT: Final = 2_000
UNITS_PER_TARGET: Final = 20
MAX_GROWTH_BYTES: Final = 128 * 2**20
"""How much memory the cases of one unit may ever take, all together."""


def attack_decoder(number: int) -> Tally:
    """Run one unit of cases against one target; return what was violated, and how many were accepted and refused."""
    every = targets()
    target, first = every[number % len(every)], number // len(every) * CASES_PER_UNIT
    before = _peak_bytes()
    violations, counts = attack(target, first, CASES_PER_UNIT)
    if _peak_bytes() - before > MAX_GROWTH_BYTES:
        violations.append(f"{target.name}: the cases from {first} on took more than {MAX_GROWTH_BYTES} bytes")
    return Tally(violations, counts)


def count_units() -> int:
    """Return how many units there are: a target that is added gets its share too."""
    return UNITS_PER_TARGET * len(targets())


def outcomes() -> frozenset[str]:
    """Return what must have been counted: of every target some bytes are accepted, and some refused."""
    return frozenset(f"{target.name}.{outcome}" for target in targets() for outcome in ("accepted", "refused"))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
