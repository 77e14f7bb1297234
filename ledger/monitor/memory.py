"""What a witness remembers of one log, in a directory: whatever it takes is on the disk before it is told."""

from __future__ import annotations

import fcntl
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Final, Self

from ledger import files
from ledger.errors import LedgerError, MalformedError
from ledger.monitor import fork
from ledger.monitor.fork import Fork, SignedCheckpoint

CHECKPOINT: Final = "checkpoint"
HANDOVERS: Final = "handovers"
FORK: Final = "fork.json"


class UnusableMemoryError(LedgerError):
    """The directory cannot serve; the text says what to do."""


class ForkFoundError(LedgerError):
    """The log has two histories; the text names the file with the evidence."""


class WitnessMemory:
    """An open directory; one process has it at a time. `lock` is held by whoever decides and remembers."""

    def __init__(self, directory: Path) -> None:
        """Open or make *directory*; raises UnusableMemoryError, or ForkFoundError where evidence of a fork is in it."""
        self.directory = directory
        self.lock = RLock()
        self._opened = ExitStack()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            held = self._opened.enter_context((directory / "lock").open("wb"))
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnusableMemoryError(
                f"another watcher runs on {directory}: give each log a directory of its own"
            ) from error
        except OSError as error:
            raise UnusableMemoryError(f"cannot use {directory}: {error.strerror}") from error
        self.require_no_fork()
        self.remembered = self._read_checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def require_no_fork(self) -> None:
        """Raise ForkFoundError where evidence of a fork was kept: a witness of such a log takes nothing more."""
        path = self.directory / FORK
        if path.exists():
            raise ForkFoundError(
                f"the log has two histories: {path} holds two signed checkpoints that exclude each other. Show them to"
                " the other operators (`campusgrid ledger check-fork` checks them); nothing is cosigned any more"
            )

    def remember(self, signed: SignedCheckpoint) -> None:
        """Take *signed* as the newest checkpoint, durably."""
        self.write(CHECKPOINT, str(signed).encode())
        self.remembered = signed

    def keep_fork(self, found: Fork) -> None:
        """Write the evidence, unless there is one, and raise ForkFoundError."""
        if not (self.directory / FORK).exists():
            self.write(FORK, found.dumps().encode())
        self.require_no_fork()

    def read(self, name: str) -> bytes | None:
        """Return what was written as *name*, or None."""
        path = self.directory / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        """Replace the file *name* by *data*: after a power cut there is the one or the other.

        Raises UnusableMemoryError.
        """
        path = self.directory / name
        try:
            files.replace(path, data)
        except OSError as error:
            raise UnusableMemoryError(
                f"cannot write {path}: {error.strerror}; make room or mend the disk, for nothing is taken until then"
            ) from error

    def _read_checkpoint(self) -> SignedCheckpoint | None:
        data = self.read(CHECKPOINT)
        try:
            return None if data is None else fork.parse_note(data.decode())
        except (MalformedError, UnicodeDecodeError) as error:
            path = self.directory / CHECKPOINT
            raise UnusableMemoryError(f"{path} is damaged ({error}): restore it, or move the directory away") from error
