"""`make firmware`: every module compiles for every MicroPython that will run it; the virtual board is built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioning.toolchain.cache import ROOT, made_by_make
from provisioning.toolchain.errors import ToolchainError
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mpy import build_targets
from provisioning.toolchain.virtual_board import get_board

FIRMWARE = ROOT / "firmware"
COMPILE_LIMIT_S = 60
# compile() reads a module without running it
COMPILE = "import sys\nfor name in sys.argv[1:]:\n with open(name) as f: compile(f.read(), name, 'exec')\n"


def main() -> int:
    """Compile every module, for the microcontrollers too, build the board, print its image's path as the last line."""
    return made_by_make(make_firmware)


def make_firmware() -> None:
    """Do what `make firmware` promises."""
    compile_firmware()
    board = get_board()  # and the cross compiler
    build_targets()
    print(board)


def compile_firmware() -> None:
    """Compile every module below firmware/; ToolchainError names the first that MicroPython refuses."""
    modules = sorted(FIRMWARE.rglob("*.py"))
    if not modules:
        raise ToolchainError(f"there is no module in {FIRMWARE}: is the clone complete?")
    for module in modules:
        _compile(find_micropython(), module)
    print(f"{len(modules)} firmware modules compile")


def _compile(micropython: Path, module: Path) -> None:
    command = [str(micropython), "-c", COMPILE, str(module)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolchainError(f"{module.relative_to(ROOT)} does not compile: {' '.join(reason)}")


if __name__ == "__main__":
    sys.exit(main())
