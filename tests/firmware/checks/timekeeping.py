"""The meter's own clock on ticks that wrap at 2^30. Runs on every interpreter."""

from meter.timekeeper import Timekeeper

WRAP = 1 << 30


class _Board:
    def __init__(self, now_ms: int) -> None:
        self.passed_ms = WRAP - 5000
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def ticks_ms(self) -> int:
        return self.passed_ms % WRAP

    def ticks_since(self, start: int) -> int:
        return (self.passed_ms - start + WRAP // 2) % WRAP - WRAP // 2


def answer(case: list) -> list:
    """Return what the clock shows and says of itself after each of *case*: [start in ms, *[ms to pass, offset, error]].

    An error of 0 stands for time servers that are silent.
    """
    board = _Board(case[0])
    keeper = Timekeeper(board)
    found = []
    for pass_ms, offset_ms, error_ms in case[1:]:
        board.passed_ms += pass_ms
        stepped_ms = keeper.follow(offset_ms, error_ms) if error_ms else None
        board.passed_ms += 700
        state = [keeper.now_ms(), list(keeper.clock_state()), keeper.error_ms(), keeper.rate_ppb, stepped_ms]
        found.append(state)
    return found
