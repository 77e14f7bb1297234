"""The project's own cache folder `.cache/`: what is in it, who may write, and how a make step reports."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioning.toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of one make step, so that two runs at once do its work once. The kernel drops it with us."""
    try:
        CACHE.mkdir(exist_ok=True)
        handle = os.open(CACHE / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ToolchainError(f"cannot write in {CACHE}: {error.strerror}. Clone into a folder of your own.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def made_by_make(step: Callable[[], object]) -> int:
    """Run one step for make: 0, or 1 after one clear line on stderr. A fault of ours still shows its traceback."""
    try:
        step()
    except ToolchainError as error:
        print(f"campusgrid: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"campusgrid: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
