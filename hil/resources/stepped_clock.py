"""A wall clock that steps: a whole Python process sees it, and its monotonic clock goes on as if nothing was.

    python -m hil.resources.stepped_clock FILE gateway run --config …     # campusgrid on the clock of FILE

FILE holds the offset in seconds; whoever writes it steps the clock of the running process.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

_OFFSET: Final = struct.Struct("<q")


class SteppedClock:
    """The clock of the processes that `program` starts; `offset_s` is how far it is off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(_OFFSET.pack(0))

    @property
    def offset_s(self) -> int:
        """How far the clock is ahead of this process's, in seconds."""
        (offset,) = _OFFSET.unpack(self._file.read_bytes())
        return int(offset)

    def step(self, seconds: int) -> None:
        """Step the clock by *seconds*; what runs on it sees that at once."""
        moved = _OFFSET.pack(self.offset_s + seconds)
        with self._file.open("r+b", buffering=0) as file:  # in place: the processes have this very file mapped
            file.write(moved)

    @property
    def program(self) -> list[str]:
        """The command that runs `campusgrid` with the rest of its arguments on this clock."""
        return [sys.executable, "-m", "hil.resources.stepped_clock", str(self._file)]


def install(file: Path) -> None:
    """Have this process see the clock of *file*: before anything is imported that keeps `time.time` for itself."""
    with file.open("rb") as opened:
        offset = mmap(opened.fileno(), _OFFSET.size, access=ACCESS_READ)
    true_time: Callable[[], float] = time.time
    true_time_ns: Callable[[], int] = time.time_ns
    time.time = lambda: true_time() + _OFFSET.unpack_from(offset)[0]
    time.time_ns = lambda: true_time_ns() + _OFFSET.unpack_from(offset)[0] * 10**9


if __name__ == "__main__":
    install(Path(sys.argv[1]))
    from gateway.cli import main

    sys.argv = ["campusgrid", *sys.argv[2:]]
    main()
