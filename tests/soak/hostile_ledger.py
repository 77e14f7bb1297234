"""Hostile bytes for the ledger's decoders and handlers, a million and more: refused in good order, or canonical."""

from __future__ import annotations

import asyncio
import resource
import tempfile
from pathlib import Path
from typing import Final

from tests.ledger.hostile import NAMES, attack, targets
from tests.ledger.node.hostile_node import attack_node
from tests.soak.tally import Tally

CASES_PER_UNIT: Final = 2_000
UNITS_PER_TARGET: Final = 20
UNITS: Final = UNITS_PER_TARGET * len(NAMES)
OUTCOMES: Final = frozenset(f"{name}.{outcome}" for name in NAMES for outcome in ("accepted", "refused"))
"""What must have been counted: of every target some bytes are accepted, and some refused."""
FRAMES_PER_UNIT: Final = 5_000
NODE_UNITS: Final = 50
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


def attack_whole_node(number: int) -> Tally:
    """Run one unit of frames and requests against a running node."""
    with tempfile.TemporaryDirectory(prefix="campusgrid-hostile-") as folder:
        violations, counts = asyncio.run(attack_node(Path(folder), number, FRAMES_PER_UNIT))
    return Tally(violations, counts)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
