"""Every kind of fault once, on real processes: nothing is lost, nothing doubled, every interval is what registers did.

`make soak ONLY=gateway.faults` does it again and again, each time otherwise.
"""

from __future__ import annotations

import pytest

from tests.faults import campaign
from tests.faults.faults import FAULTS

SEED = 20


@pytest.mark.timeout(600)
def test_no_fault_loses_or_doubles_a_reading_or_changes_an_interval() -> None:
    tally = campaign.run(SEED)
    assert tally.violations == []
    assert {name for name in FAULTS if not tally.counts[name]} == set()
