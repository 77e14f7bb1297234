"""What one unit of a campaign came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tally:
    """What was violated, one text each, and how often which named thing happened."""

    violations: Sequence[str]
    counts: Counter[str] = field(default_factory=Counter)
