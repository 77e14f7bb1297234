"""How much room the disk has, and for how many days it lasts at the rate at which it fills up."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

SAMPLE_S: Final = 60.0
SAMPLES: Final = 24 * 60
"""A day of samples: how fast the disk filled since yesterday."""
MIN_SPAN_S: Final = 600.0
"""Over less time nothing is said about the rate."""
_DAY_S: Final = 86_400


class Room:
    """The room on the disk of *folder*; `note` is called often and samples now and then."""

    def __init__(
        self, folder: Path, now_s: Callable[[], float] = time.monotonic, free: Callable[[Path], int] | None = None
    ) -> None:
        self._folder = folder
        self._now_s = now_s
        self._free = free or (lambda place: shutil.disk_usage(place).free)
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)

    def note(self) -> None:
        """Take a sample if the last one is old enough."""
        now_s = self._now_s()
        if not self._samples or now_s - self._samples[-1][0] >= SAMPLE_S:
            self._samples.append((now_s, self.free_bytes))

    @property
    def free_bytes(self) -> int:
        """The free bytes now."""
        return self._free(self._folder)

    @property
    def days_left(self) -> float | None:
        """Days until the disk is full, whatever fills it; None while it does not, or the rate is not known yet."""
        if not self._samples:
            return None
        (first_s, first_free), (last_s, last_free) = self._samples[0], self._samples[-1]
        used = first_free - last_free
        if used <= 0 or last_s - first_s < MIN_SPAN_S:
            return None
        return last_free / (used / (last_s - first_s)) / _DAY_S
