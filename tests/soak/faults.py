"""All kinds of faults on a campus of real processes, in another order and at other moments each time."""

from __future__ import annotations

from typing import Final

from tests.faults import campaign
from tests.faults.faults import FAULTS
from tests.soak.tally import Tally

UNITS: Final = 60
KINDS: Final = frozenset(FAULTS)


def inject(number: int) -> Tally:
    """Run one unit, every other one in rough weather; return what was violated, and how often each fault fired."""
    return campaign.run(number, is_rough=number % 2 == 1)
