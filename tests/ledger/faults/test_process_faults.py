"""A sample of the soak's `ledger.process_faults`: real processes are hurt, heal, and have lost and forked nothing."""

from __future__ import annotations

import pytest

from tests.ledger.faults.campaign import run
from tests.ledger.faults.schedule import Tolerated


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "tolerated"), [(1, Tolerated.FORGETFUL), (2, Tolerated.TWIN)])
def test_real_processes_under_faults_keep_one_ledger_that_never_fails(seed: int, tolerated: Tolerated) -> None:
    tally = run([seed], tolerated)
    assert tally.violations == []
    assert tally.counts["runs"] == 1
    assert tally.counts["transfers"] > 0
    assert tally.counts["wiped" if tolerated is Tolerated.FORGETFUL else "twin"] > 0
