"""`make browser`: the distribution's chromium, which the tests of the dashboard drive without a display."""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path

from provisioning.toolchain import apt
from provisioning.toolchain.cache import made_by_make
from provisioning.toolchain.errors import ToolchainError

NAMES = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Install chromium where it is missing and print its path."""
    return made_by_make(lambda: print(get_chromium()))


def find_chromium() -> Path:
    """Return the browser's executable; ToolchainError says how to get one."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ToolchainError("there is no chromium here: run `make browser`")


def get_chromium() -> Path:
    """Return the browser's executable, after installing the distribution's packages where they are missing."""
    missing = [] if any(map(shutil.which, NAMES)) else ["chromium"]
    if not _has_driver_library():
        missing.append("libatomic1")
    if missing:
        apt.install(missing, "testing the dashboard")
    return find_chromium()


def _has_driver_library() -> bool:
    """Tell whether the one library is here that Playwright's driver needs and its wheel does not carry."""
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
