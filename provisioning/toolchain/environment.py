"""`make setup`: the virtual environment at the repository's root, with every dependency at its pinned version.

Runs under the machine's own Python before anything is installed (`python3 -m provisioning.toolchain.environment`),
so this file and what it imports parse on Python 3.7 and use the standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys

from provisioning.toolchain import apt
from provisioning.toolchain.cache import ROOT, locked, made_by_make
from provisioning.toolchain.errors import ToolchainError

OLDEST_PYTHON = (3, 11)
MACHINES = ("x86_64", "aarch64")
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "campusgrid-stamp"
COMMAND = ENVIRONMENT / "bin" / "campusgrid"
UNREACHABLE = ("NewConnectionError", "Max retries exceeded", "Temporary failure in name resolution", "timed out")


def main() -> int:
    """Make the environment ready; print one line and return 1 where that is impossible."""
    return made_by_make(ready)


def ready() -> None:
    """Build or refresh `.venv`; does nothing when it already holds what constraints.txt and pyproject.toml ask for."""
    _check_system()
    if _is_fresh():
        return
    with locked("setup"):
        if _is_fresh():  # another make did it while this one waited
            return
        _check_venv_module()
        _build()
        STAMP.write_text(_wanted())


def _check_system() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = platform.python_version()
        raise ToolchainError(
            f"{sys.executable} is Python {found}, and campusgrid needs 3.11 or newer: make PYTHON=/path/to/python3.11"
        )
    if sys.platform != "linux" or sys.maxsize < 2**32 or platform.machine() not in MACHINES:
        found = f"{sys.platform} {platform.machine()}, {'64' if sys.maxsize > 2**32 else '32'}-bit Python"
        raise ToolchainError(f"this is {found}, and campusgrid needs 64-bit Linux on {' or '.join(MACHINES)}")


def _is_fresh() -> bool:
    return COMMAND.exists() and STAMP.exists() and STAMP.read_text() == _wanted()


def _wanted() -> str:
    """Name what the environment must hold; the path is part of it because a moved environment does not run."""
    digest = hashlib.sha256(f"{ENVIRONMENT}\n".encode())
    for name in ("constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _check_venv_module() -> None:
    # Debian splits `venv` off: the module imports, but has nothing to put into the environment without ensurepip
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        apt.install(["python3-venv"], "the virtual environment")


def _build() -> None:
    print("filling .venv with the pinned dependencies: up to two minutes on a fresh machine", flush=True)
    pip = str(ENVIRONMENT / "bin" / "pip")
    if not _has_our_python():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
    _run([pip, "install", "--require-hashes", "-r", "constraints.txt"])
    _run([pip, "install", "--no-deps", "--no-build-isolation", "-e", "."])
    # compiles the clearing kernel into its cache: else four nodes of the first demo do it at the same time
    _run([str(ENVIRONMENT / "bin" / "python"), "-c", "import ledger.market.clearing"])


def _has_our_python() -> bool:
    """Tell whether the environment was made by this Python for this place, so that refreshing it is enough."""
    pip = ENVIRONMENT / "bin" / "pip"
    if not pip.exists() or not (ENVIRONMENT / "bin" / f"python3.{sys.version_info[1]}").exists():
        return False
    return pip.read_bytes().startswith(f"#!{ENVIRONMENT}/".encode())


def _run(command: list[str]) -> None:
    """Run one step of the build, its output kept in .cache/setup.log and its failure told in one line."""
    log = ROOT / ".cache" / "setup.log"
    settings = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with log.open("wb") as output:
        done = subprocess.run(command, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        return
    text = log.read_text(errors="replace")
    if any(mark in text for mark in UNREACHABLE):
        raise ToolchainError(
            "the Python package index is out of reach: check the network (or pip.conf), run make again"
        )
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
    raise ToolchainError(f"{' '.join(command[:3])} … failed: {last.strip()} (whole output: {log})")


if __name__ == "__main__":
    sys.exit(main())
