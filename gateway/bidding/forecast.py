"""What a meter will import and export in the next epoch, from its own last intervals. Pure, integers only.

Persistence weighted towards the newest: two thirds of the last interval, one third of the one before. Loads and
photovoltaics change little from one quarter of an hour to the next; a model that beats this must say by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.epochs.intervals import Interval


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one meter is expected to import and export in one epoch, in Wh."""

    meter_id: bytes
    import_wh: int
    export_wh: int


def forecast(intervals: Sequence[Interval]) -> Forecast | None:
    """Return the forecast from one meter's *intervals* (ascending), or None without any history."""
    if not intervals:
        return None
    last = intervals[-1]
    before = intervals[-2] if len(intervals) > 1 else last
    return Forecast(
        last.meter_id,
        _weigh(last.import_wh // last.epochs, before.import_wh // before.epochs),
        _weigh(last.export_wh // last.epochs, before.export_wh // before.epochs),
    )


def _weigh(last_wh: int, before_wh: int) -> int:
    return max(0, (2 * last_wh + before_wh) // 3)
