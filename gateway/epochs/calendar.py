"""Epoch arithmetic: epoch e covers [e·epoch_s, (e+1)·epoch_s) of Unix time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calendar:
    """The campus's epochs of `epoch_s` seconds, and the clock that says where in them we are."""

    epoch_s: int
    now: Callable[[], float] = time.time

    def epoch_now(self) -> int:
        """Return the number of the running epoch."""
        return int(self.now()) // self.epoch_s

    def start_of(self, epoch: int) -> int:
        """Return when *epoch* starts, in Unix seconds."""
        return epoch * self.epoch_s

    def remaining_s(self) -> float:
        """Return the seconds until the next epoch starts."""
        return self.epoch_s - self.now() % self.epoch_s
