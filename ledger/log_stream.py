"""Where log lines go: standard error, where a full disk or a closed pipe costs lines and ends no process."""

from __future__ import annotations

import contextlib
import sys
from typing import Final, TextIO, cast


class _Stderr:
    """What structlog needs of a stream. Whatever standard error is at the time is written to."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


STDERR: Final = cast("TextIO", _Stderr())
