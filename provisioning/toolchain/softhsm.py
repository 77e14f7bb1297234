"""`make softhsm`: the distribution's SoftHSM, a PKCS#11 token in software: tests keep an authority's keys in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from provisioning.toolchain import apt
from provisioning.toolchain.cache import made_by_make
from provisioning.toolchain.errors import ToolchainError

UTILITY = "softhsm2-util"
LIBRARY = "softhsm/libsofthsm2.so"
LIBRARY_FOLDERS = ("/usr/lib", "/usr/local/lib")


def main() -> int:
    """Install SoftHSM where it is missing and print the path of its library."""
    return made_by_make(lambda: print(get_softhsm()))


def find_softhsm() -> Path:
    """Return the PKCS#11 library, beside whose `softhsm2-util` is in PATH; ToolchainError says how to get both."""
    found = [Path(folder, LIBRARY) for folder in LIBRARY_FOLDERS]
    library = next((path for path in found if path.exists()), None)
    if library is None or shutil.which(UTILITY) is None:
        raise ToolchainError("there is no SoftHSM here: run `make softhsm`")
    return library


def get_softhsm() -> Path:
    """Return the PKCS#11 library, after installing the distribution's package where it is missing."""
    try:
        return find_softhsm()
    except ToolchainError:
        apt.install(["softhsm2"], "testing keys in a token")
        return find_softhsm()


if __name__ == "__main__":
    sys.exit(main())
