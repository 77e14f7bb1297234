"""`make pins`: constraints.txt anew from pyproject.toml, for every platform and Python that campusgrid supports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from provisioning.toolchain.cache import CACHE, ROOT, made_by_make
from provisioning.toolchain.errors import ToolchainError

CONSTRAINTS = ROOT / "constraints.txt"
HEADER = "# Pinned by `make pins` from pyproject.toml: hashes for every platform, Python 3.11 to 3.13.\n"
# --no-config: the pins are those of the public index, whatever this machine's settings add to it
COMPILE = (
    *("pip", "compile", "pyproject.toml", "--quiet", "--extra", "dev", "--no-config"),
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"),
)


def main() -> int:
    """Compile the pins and replace constraints.txt when that went well."""
    return made_by_make(compile_pins)


def compile_pins() -> None:
    """Resolve the newest versions and write them with their hashes; the file changes only as a whole."""
    fresh = CACHE / "constraints.txt"
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run(
        [str(uv), *COMPILE, "--output-file", str(fresh)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())
        raise ToolchainError(f"cannot compile the pins: {reason}")
    pins = fresh.read_text()
    if "://" in pins:
        raise ToolchainError(f"{fresh} holds a download address, which constraints.txt must not: check pyproject.toml")
    fresh.write_text(HEADER + pins)
    fresh.replace(CONSTRAINTS)
    print(f"{CONSTRAINTS.name}: {pins.count('==')} packages; run `make test` before you commit it")


if __name__ == "__main__":
    sys.exit(main())
