"""Boundaries and telemetry on a clock that is set to and fro. Runs on every interpreter."""

from meter import clock, unix_time


def answer(case: list) -> list:
    """Return what is due after each step of the clock in *case*: [epoch in s, period in s, start in ms, *steps]."""
    epoch_s, period_s, now_ms = case[:3]
    boundaries = clock.Boundaries(epoch_s, (), now_ms)
    telemetry = clock.Telemetry(period_s, b"\x11" * 8, now_ms)
    found = []
    for step_ms in case[3:]:
        now_ms += step_ms
        wait_ms = boundaries.wait_ms(now_ms)
        due = boundaries.due(now_ms)
        found.append(
            [due, wait_ms, telemetry.is_due(now_ms, wait_ms), telemetry.wait_ms(now_ms), unix_time.is_set(now_ms)]
        )
    return found
