"""How the window of a backlog follows the time that receipts take. Runs on every interpreter."""

from meter.pace import Pace


def answer(case: list) -> list:
    """Return [window, pause in ms] after each of *case*: [ms that the receipt took, whether the window was full]."""
    pace = Pace()
    found = []
    for took_ms, was_full in case:
        pace.took(took_ms, was_full)
        found.append([pace.window, pace.pause_ms])
    return found
