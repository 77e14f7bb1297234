"""The distribution's package manager, as far as the toolchain needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from provisioning.toolchain.errors import ToolchainError

LOCK_WAIT_S = 300  # another apt on the machine (unattended-upgrades) may hold the lock for minutes


def install(packages: Sequence[str], purpose: str) -> None:
    """Install distribution packages without recommendations and without starting a service that they bring.

    Raises ToolchainError in one line when there is no apt, no right to use it, or no way to the mirror.
    """
    command = f"apt-get install {' '.join(packages)}"
    prefix = _privilege(f"{purpose} needs `{command}`")
    print(f"installing {' '.join(packages)} ({purpose})", flush=True)
    arguments = ["install", "-y", "--no-install-recommends", *packages]
    if _succeeds([*prefix, *_apt_get(arguments)]):
        return
    updated = _succeeds([*prefix, *_apt_get(["update"])])
    if updated and _succeeds([*prefix, *_apt_get(arguments)]):
        return
    raise ToolchainError(f"`{command}` failed, which {purpose} needs: check the network and run it by hand to see why")


def _privilege(need: str) -> list[str]:
    """Say how to become root: nothing for root, `env`-preserving sudo for others."""
    if shutil.which("apt-get") is None:
        raise ToolchainError(f"{need}, but there is no apt-get: use Debian 12 or 13 or Raspberry Pi OS")
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise ToolchainError(f"{need}: run that as root, since there is no sudo")
    return ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]


def _apt_get(arguments: Sequence[str]) -> list[str]:
    # `env` so that the setting passes through sudo too
    options = ["-q", "-o", f"DPkg::Lock::Timeout={LOCK_WAIT_S}"]
    return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *arguments]


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
