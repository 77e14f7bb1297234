from __future__ import annotations

from ledger.consensus.effects import Step
from ledger.consensus.timing import Timing

NOW_MS = 1_700_000_000_000


def test_a_timeout_grows_by_a_step_and_is_capped() -> None:
    timing = Timing()
    assert [timing.timeout_ms(Step.PROPOSE, round_) for round_ in (0, 1, 10, 36, 37, 10**9)] == [
        1_000,
        1_250,
        3_500,
        10_000,
        10_000,
        10_000,
    ]
    assert timing.timeout_ms(Step.PREVOTE, 0) == timing.timeout_ms(Step.PRECOMMIT, 0) == 500


def test_a_fresh_time_lies_between_delay_and_precision() -> None:
    timing = Timing(precision_ms=500, message_delay_ms=2_000)
    assert timing.is_timely(NOW_MS - 2_500, NOW_MS, 0)
    assert not timing.is_timely(NOW_MS - 2_501, NOW_MS, 0)
    assert timing.is_timely(NOW_MS + 500, NOW_MS, 0)
    assert not timing.is_timely(NOW_MS + 501, NOW_MS, 0)


def test_the_delay_grows_with_the_round_and_the_drift_stays_bounded() -> None:
    timing = Timing(message_delay_ms=2_000, message_delay_growth_ms=500, max_drift_ms=15_000)
    assert timing.is_timely(NOW_MS - 3_500, NOW_MS, 2)
    assert timing.is_timely(NOW_MS - 15_000, NOW_MS, 10**6)
    assert not timing.is_timely(NOW_MS - 15_001, NOW_MS, 10**6)
    assert not timing.is_timely(NOW_MS + 501, NOW_MS, 10**6)
