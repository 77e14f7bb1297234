"""A million hostile frames for the gateway's intake: no crash, no stall, a listed reason for each refusal."""

from __future__ import annotations

from typing import Final

from gateway.intake.refusals import RefusalCode
from tests.gateway.intake.attack import attack
from tests.soak.tally import Tally

FRAMES_PER_UNIT: Final = 5_000
UNITS: Final = 200
REASONS: Final = frozenset({"stored", "duplicates", *(code.counter for code in RefusalCode)})
"""What must have been counted at least once when all units have run."""


def attack_intake(number: int) -> Tally:
    """Send the frames of one unit; return what was violated, and how often each reason was given."""
    violations, counts = attack(number, FRAMES_PER_UNIT)
    return Tally(violations, counts)
