"""Spans of time, and what lies within them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

START_OF_TIME: Final = 0
END_OF_TIME: Final = 2**62


@dataclass(frozen=True, slots=True)
class Span:
    """The time from `first_s` on and before `end_s` (Unix seconds)."""

    first_s: int = START_OF_TIME
    end_s: int = END_OF_TIME

    def holds(self, first_s: int, end_s: int) -> bool:
        """Tell whether all from *first_s* to *end_s* lies within it."""
        return self.first_s <= first_s and end_s <= self.end_s


Spans = tuple[Span, ...]
"""Several, by ascending time; they do not overlap."""
Sight = Mapping[bytes, Spans]
"""What may be seen: of which meters (by id), from which times."""
ALWAYS: Final[Spans] = (Span(),)


def hold(spans: Spans, first_s: int, end_s: int | None = None) -> bool:
    """Tell whether the moment *first_s*, or all from there to *end_s*, lies within one of *spans*."""
    return any(span.holds(first_s, first_s + 1 if end_s is None else end_s) for span in spans)


def select_within(spans: Spans) -> tuple[str, list[int]]:
    """Return the SQL condition that the column `time` lies within one of *spans*, and the values bound to it."""
    condition = " OR ".join(["time >= ? AND time < ?"] * len(spans)) or "FALSE"
    return f"({condition})", [bound for span in spans for bound in (span.first_s, span.end_s)]
