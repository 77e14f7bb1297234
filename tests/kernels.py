"""What numba compiles is there before a node starts: four that start at once would all do it, and miss their time."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from provisioning.toolchain.cache import locked

ROOT = Path(__file__).resolve().parents[1]


@cache
def compile_kernels() -> None:
    """Fill numba's cache, unless it is; once in this process, and only one process at a time."""
    with locked("kernels"):
        subprocess.run([sys.executable, "-c", "import ledger.market.clearing"], cwd=ROOT, check=True)
