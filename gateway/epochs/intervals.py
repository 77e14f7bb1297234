"""Intervals: what a meter measured in one epoch, derived from stored boundary readings. Pure, never stored.

A boundary reading of epoch e is taken at the start of e, so the interval of e is boundary(e+1) - boundary(e).
Where a boundary is missing no single epoch can be proven: the span up to the next boundary is a gap interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Boundary:
    """A stored boundary reading: registers in Wh at the start of `epoch`."""

    meter_id: bytes
    epoch: int
    import_wh: int
    export_wh: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Energy between two boundaries of one meter, in Wh, from the start of `epoch` over `epochs` epochs.

    More than one epoch makes it a gap interval. A register that ran backwards makes a negative number: it is shown
    as it is, and the ledger, not the gateway, decides what counts.
    """

    meter_id: bytes
    epoch: int
    epochs: int
    import_wh: int
    export_wh: int

    @property
    def is_gap(self) -> bool:
        """Tell whether it cannot be proven what fell into which epoch."""
        return self.epochs > 1


def derive_intervals(boundaries: Iterable[Boundary]) -> Iterator[Interval]:
    """Yield the intervals between *boundaries*, which are one meter's, by ascending epoch."""
    for first, last in pairwise(boundaries):
        yield Interval(
            first.meter_id, first.epoch, last.epoch - first.epoch,
            last.import_wh - first.import_wh, last.export_wh - first.export_wh,
        )  # fmt: skip
