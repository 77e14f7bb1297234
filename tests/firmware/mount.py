"""A small file system in memory, mounted over a folder in a namespace of its own: it can be full, or refuse writing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

LIMIT_S = 20


class Mount:
    """While its `with` lasts, `prefix` before a command runs it where *folder* is a tmpfs of *size* bytes.

    Needs no root: a user namespace gives the right to mount, where the user has it not.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._spaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user"]
        self.prefix: list[str] = []

    def __enter__(self) -> Self:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = f'mount -t tmpfs -o size={self._size} none "$0" && echo mounted && exec cat'
        self._keeper = subprocess.Popen(
            ["unshare", *self._spaces, *as_root, "sh", "-c", script, self._folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._keeper.stdout
        assert self._keeper.stdout.readline() == b"mounted\n"
        as_user = [] if os.geteuid() == 0 else ["--preserve-credentials"]
        self.prefix = ["nsenter", "--target", str(self._keeper.pid), *self._spaces, *as_user]
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.communicate(timeout=LIMIT_S)

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def empty(self) -> None:
        """Take away what `fill` wrote."""
        self._filler.unlink()

    def remount(self, option: str) -> None:
        """Mount it anew with *option*, "ro" or "rw"."""
        subprocess.run([*self.prefix, "mount", "-o", f"remount,{option}", self._folder], check=True, timeout=LIMIT_S)

    @property
    def _filler(self) -> Path:
        return Path(f"/proc/{self._keeper.pid}/root{self._folder}/filler")
