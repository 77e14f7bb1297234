"""Intervals are register differences, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.epochs.calendar import Calendar
from gateway.epochs.intervals import Boundary, derive_intervals

METER = b"m" * 8


@given(st.dictionaries(st.integers(0, 50), st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=20))
def test_intervals_cover_the_boundaries_without_overlap_and_add_up(registers: dict[int, tuple[int, int]]) -> None:
    boundaries = [Boundary(METER, epoch, *registers[epoch]) for epoch in sorted(registers)]
    intervals = list(derive_intervals(boundaries))
    assert [interval.epoch for interval in intervals] == [boundary.epoch for boundary in boundaries[:-1]]
    assert [interval.epoch + interval.epochs for interval in intervals] == [b.epoch for b in boundaries[1:]]
    assert [interval.is_gap for interval in intervals] == [interval.epochs != 1 for interval in intervals]
    if boundaries:
        first, last = boundaries[0], boundaries[-1]
        assert sum(interval.import_wh for interval in intervals) == last.import_wh - first.import_wh
        assert sum(interval.export_wh for interval in intervals) == last.export_wh - first.export_wh


def test_an_epoch_starts_with_its_first_second() -> None:
    for now, epoch, remaining_s in ((1800.0, 2, 900.0), (2699.5, 2, 0.5)):
        calendar = Calendar(900, lambda now=now: now)  # type: ignore[misc]
        assert (calendar.epoch_now(), calendar.remaining_s()) == (epoch, remaining_s)
    assert Calendar(900).start_of(2) == 1800
