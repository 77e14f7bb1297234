"""What a measurement says, and the file that keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure and whether its bar holds; `value` and `bar` are None where the part did not finish."""

    name: str
    value: float | None
    unit: str
    bar: float | None
    holds: bool
    relation: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the five fields of bench.json."""
        fields = asdict(self)
        del fields["relation"]
        return fields


def at_least(name: str, value: float, unit: str, bar: float) -> Row:
    """Return the row of a figure that should reach its bar."""
    return Row(name, value, unit, bar, value >= bar, "≥")


def at_most(name: str, value: float, unit: str, bar: float) -> Row:
    """Return the row of a figure that should stay within its bar."""
    return Row(name, value, unit, bar, value <= bar, "≤")


def unfinished(name: str, reason: str) -> Row:
    """Return the row of a part that failed or ran out of time; the reason stands where the unit would."""
    return Row(name, None, reason, None, holds=False)


def write_json(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by a list of entries in one step, so that no reader sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(list(entries), indent=2) + "\n")
    fresh.replace(path)
