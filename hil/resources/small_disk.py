"""A small disk of its own for one folder: it can be filled to the last byte and turned read-only.

It is a tmpfs in a mount namespace (user_namespaces(7): no root needed). A process that waits for the rig's end holds
it, so that the disk outlives the programs that write it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, Self

from hil.errors import DiskError

COMMAND_LIMIT_S: Final = 10
FILL_BYTES: Final = 64 * 1024
_FILLER: Final = "filler"


class SmallDisk:
    """Mounted on *folder* for those alone that start `within`; others see what is on it below `inside`."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self._folder = folder
        self._size_mib = size_mib
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        script = (
            f'mount -t tmpfs -o size={self._size_mib}m tmpfs "{self._folder}" && echo mounted && exec sleep infinity'
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            _, errors = self._holder.communicate(timeout=COMMAND_LIMIT_S)
            raise DiskError(f"{self._folder}: no disk can be mounted: {errors.decode().strip()}; allow user namespaces")
        return self

    def __exit__(self, *_: object) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    @property
    def within(self) -> list[str]:
        """The command that starts the rest of its arguments where the disk is mounted, in the folder `/`."""
        return ["nsenter", f"--target={self._pid}", "--user", "--mount", "--preserve-credentials", "--"]

    @property
    def inside(self) -> Path:
        """Where this process finds the folder as it is on the disk."""
        return Path(f"/proc/{self._pid}/root{self._folder}")

    @property
    def _pid(self) -> int:
        if self._holder is None:
            raise DiskError(f"{self._folder}: is not mounted; enter the disk first")
        return self._holder.pid

    def fill(self) -> int:
        """Take all room that is left; return how many bytes that was."""
        taken, size = 0, FILL_BYTES
        with (self.inside / _FILLER).open("ab", buffering=0) as file:
            while size:
                try:
                    taken += file.write(bytes(size))
                except OSError:
                    size //= 2
        return taken

    def make_room(self) -> None:
        """Give back what `fill` took."""
        (self.inside / _FILLER).unlink(missing_ok=True)

    def remount(self, mode: str) -> None:
        """Make the disk "ro" or "rw"; raises DiskError, for instance where a program has a file open to write."""
        done = subprocess.run(
            [*self.within, "mount", "-o", f"remount,{mode}", self._folder],
            capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise DiskError(f"{self._folder}: cannot be remounted {mode}: {done.stderr.strip()}; end who writes on it")
