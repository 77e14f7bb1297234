"""Which Unix times can be true at all. Alone in its file, so that whoever asks loads nothing else with it."""

EARLIEST_S = 1_704_067_200  # 2024-01-01
LATEST_S = 2**32 - 1  # 2106: what the time of a reading can hold


def is_set(now_ms):
    """Tell whether a clock that shows *now_ms* can be right: an earlier one was never set."""
    return now_ms >= EARLIEST_S * 1000
