"""What a peer may do before it is cut off, for how long, and what it may send meanwhile."""

from __future__ import annotations

import pytest

from ledger.node.network.conduct import (
    BURST_S,
    COSTS,
    FIRST_CUT_OFF_S,
    FULL_SCORE,
    MAX_CUT_OFF_S,
    QUOTAS,
    Conduct,
    Fault,
)
from ledger.node.network.wire import MAX_PAYLOAD_BYTES, FrameType


def misbehave(conduct: Conduct, now_s: float) -> None:
    """Commit faults until the peer is cut off."""
    while not conduct.blame(Fault.BAD_SIGNATURE, now_s):
        pass


def test_a_few_faults_are_borne_and_forgotten() -> None:
    conduct = Conduct()
    for _ in range(int(FULL_SCORE / COSTS[Fault.MALFORMED])):
        assert not conduct.blame(Fault.MALFORMED, 10.0)
    assert conduct.score(10.0) == 0
    assert conduct.score(60.0) == 50
    assert conduct.score(10_000.0) == FULL_SCORE
    assert conduct.blame(Fault.MALFORMED, 10.0)
    assert conduct.faults[Fault.MALFORMED] == 6


def test_who_goes_on_is_cut_off_for_longer_each_time_and_who_mends_his_ways_is_not() -> None:
    conduct, now_s, lengths_s = Conduct(), 1_000.0, []
    for _ in range(8):
        misbehave(conduct, now_s)
        lengths_s.append(conduct.cut_off_until_s - now_s)
        assert conduct.is_cut_off(conduct.cut_off_until_s - 0.1)
        now_s = conduct.cut_off_until_s
        assert not conduct.is_cut_off(now_s)
    assert lengths_s == [30, 60, 120, 240, 480, 960, MAX_CUT_OFF_S, MAX_CUT_OFF_S]
    now_s += FULL_SCORE
    misbehave(conduct, now_s)
    assert conduct.cut_off_until_s - now_s == FIRST_CUT_OFF_S
    assert conduct.cut_offs == 9


def test_faults_while_cut_off_are_counted_and_cost_nothing_more() -> None:
    conduct = Conduct()
    misbehave(conduct, 0.0)
    until_s = conduct.cut_off_until_s
    assert not any(conduct.blame(Fault.PROTOCOL, 1.0) for _ in range(100))
    assert conduct.cut_off_until_s == until_s
    assert conduct.faults[Fault.PROTOCOL] == 100


@pytest.mark.parametrize("kind", [FrameType.MESSAGE, FrameType.RANGE, FrameType.TRANSACTIONS])
def test_a_burst_is_free_and_beyond_it_the_quota_holds(kind: FrameType) -> None:
    conduct, quota = Conduct(), QUOTAS[kind]
    frames = int(quota.frames * BURST_S)
    assert all(conduct.delay_s(kind, 1, 100.0) <= 1e-6 for _ in range(frames - 1))
    assert sum(conduct.delay_s(kind, 1, 100.0) > 0 for _ in range(10)) >= 8
    assert conduct.delay_s(kind, 1, 200.0) == 0


def test_long_frames_count_by_their_bytes_and_each_kind_by_itself() -> None:
    conduct = Conduct()
    size = MAX_PAYLOAD_BYTES[FrameType.DECIDED]
    delays = [conduct.delay_s(FrameType.DECIDED, size, 100.0) for _ in range(100)]
    assert delays[-1] == pytest.approx(100 * size / QUOTAS[FrameType.DECIDED].bytes - BURST_S)
    assert conduct.delay_s(FrameType.MESSAGE, 200, 100.0) == 0
