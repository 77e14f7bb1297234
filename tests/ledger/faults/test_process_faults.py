"""A sample of the soak's `ledger.process_faults`: real processes are hurt, heal, and have lost and forked nothing."""

from __future__ import annotations

import pytest

from tests.ledger.faults.campaign import run
from tests.ledger.faults.schedule import Kind, Tolerated, draw

SEED = 24
"""One authority runs twice, another is killed, one is paused and cut off, a clock is off."""


@pytest.mark.timeout(300)
def test_real_processes_under_faults_keep_one_ledger_that_never_fails() -> None:
    kinds = {fault.kind for fault in draw(SEED, Tolerated.TWIN)}
    assert kinds == {Kind.TWIN, Kind.KILL, Kind.PAUSE, Kind.PARTITION, Kind.CLOCK}
    tally = run([SEED], Tolerated.TWIN)
    assert tally.violations == []
    assert tally.counts["transfers"] > 0
    assert all(tally.counts[kind.value] for kind in (Kind.TWIN, Kind.KILL, Kind.PAUSE, Kind.CLOCK))
