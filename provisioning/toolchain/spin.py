"""`make spin`: the distribution's SPIN, with a C compiler: they check the model of the consensus' locking rule."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from provisioning.toolchain import apt
from provisioning.toolchain.cache import made_by_make
from provisioning.toolchain.errors import ToolchainError

PACKAGES = {"spin": ("spin",), "gcc": ("gcc", "libc6-dev")}


def main() -> int:
    """Install SPIN where it is missing and print its path."""
    return made_by_make(lambda: print(get_spin()))


def find_spin() -> Path:
    """Return the model checker's executable; ToolchainError says how to get it."""
    found = shutil.which("spin")
    if found is None or shutil.which("gcc") is None:
        raise ToolchainError("there is no spin here, or no gcc to compile its checkers: run `make spin`")
    return Path(found)


def get_spin() -> Path:
    """Return the model checker's executable, after installing the distribution's packages where they are missing."""
    missing = [package for program, packages in PACKAGES.items() if not shutil.which(program) for package in packages]
    if missing:
        apt.install(missing, "checking the model of consensus")
    return find_spin()


if __name__ == "__main__":
    sys.exit(main())
