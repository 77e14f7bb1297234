"""The multiples of Ed25519's base point that a build freezes into a meter's flash: the firmware works them out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioning.toolchain.cache import ROOT
from provisioning.toolchain.errors import ToolchainError

FIRMWARE = ROOT / "firmware"
NAME = "ed25519_table.py"
TEETH, COMBS = 8, 4  # 32 additions and 7 doublings a signature, the fewest that the limit lets
MAX_POINTS_BYTES = 48 * 1024
WORK_OUT = "from meter import ed25519; print(ed25519.make_table({}, {}).hex())"
LIMIT_S = 60


def write_table(folder: Path) -> None:
    """Write the module that the firmware prefers to its own small table into `folder`."""
    command = [sys.executable, "-c", WORK_OUT.format(TEETH, COMBS)]  # imports from the folder where it runs
    done = subprocess.run(command, cwd=FIRMWARE, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise ToolchainError(f"the signing table cannot be worked out: {' '.join(done.stderr.split())}")
    points = bytes.fromhex(done.stdout)
    if len(points) > MAX_POINTS_BYTES:
        raise ToolchainError(f"the signing table has {len(points)} bytes, more than {MAX_POINTS_BYTES}")
    (folder / NAME).write_text(f"TEETH = {TEETH}\nCOMBS = {COMBS}\nPOINTS = {points!r}\n")
