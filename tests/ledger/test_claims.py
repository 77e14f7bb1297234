"""Which epochs of a gap interval have claims, and that finding them costs the same whatever else the meter missed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.modules.market.claims import _find_missed
from ledger.modules.market.tables import UNCLEARED, UNCORRECTED, UNSETTLED, Waiting
from ledger.modules.meters import epoch_key
from ledger.state import Overlay, Row, Table
from tests.ledger.chain_kit import START_EPOCH, make_chain

METER, OTHER = b"meter..1", b"meter..2"
MISSED = range(START_EPOCH, START_EPOCH + 3000)
NOW = START_EPOCH + 10_000


class Counting(Overlay):
    """Counts the rows that are scanned."""

    scanned = 0

    def scan(self, table: Table[Row], prefix: bytes = b"") -> Iterator[tuple[bytes, Row]]:
        for entry in super().scan(table, prefix):
            self.scanned += 1
            yield entry


@pytest.fixture
def state() -> Counting:
    """A meter that missed every third of 3000 epochs, and orders for the 200 epochs to come."""
    made, waiting = Counting(make_chain().state), Waiting(1)
    for epoch in MISSED[::3]:
        made.put(UNCORRECTED, METER + epoch_key(epoch), waiting)
        made.put(UNCORRECTED, OTHER + epoch_key(epoch + 1), waiting)
    for epoch in range(NOW + 1, NOW + 201):
        made.put(UNCLEARED, epoch_key(epoch), waiting)
    made.put(UNSETTLED, epoch_key(NOW), waiting)
    return made


@pytest.mark.parametrize("length", [2, 3, 255, 256, 257, 1000, 20_000])
@pytest.mark.parametrize("first", [0, START_EPOCH - 1, START_EPOCH // 256 * 256 + 255, START_EPOCH + 1501, NOW - 1])
def test_the_epochs_of_a_span_that_were_missed_or_wait_are_found_and_no_others(
    state: Counting, first: int, length: int
) -> None:
    known = {*MISSED[::3], NOW, *range(NOW + 1, NOW + 201)}
    assert _find_missed(state, METER, first, first + length - 1) == sorted(known & set(range(first, first + length)))


def test_a_short_span_is_not_looked_for_among_all_that_a_meter_missed(state: Counting) -> None:
    """Reports are free: whoever missed a hundred days may send thousands of gap intervals of two epochs in a block."""
    assert _find_missed(state, METER, START_EPOCH + 1500, START_EPOCH + 1501) == [START_EPOCH + 1500]
    assert state.scanned <= 2 * 256 // 3 + 2
