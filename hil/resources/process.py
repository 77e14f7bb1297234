"""Child processes that never outlive the rig.

Each child leads its own process group (a Ctrl-C at the terminal reaches only the rig, which then stops its children
in order), dies with the rig even when that is killed with -9 (PR_SET_PDEATHSIG), and writes its errors to a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from hil.errors import ProcessError

PR_SET_PDEATHSIG: Final = 1
LOG_TAIL_BYTES: Final = 2000
KILL_WAIT_S: Final = 5.0
MAX_LINE_BYTES: Final = 64 * 1024
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

LineHandler = Callable[[bytes], None]


class ChildProcess:
    """One child: `pid` names it, `log` is where its error output (and output, unless it is handled) goes."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, on_line: LineHandler | None = None) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._on_line = on_line
        self._popen: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] | None = None
        self._pidfd = -1
        self._output = b""

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._popen.pid if self._popen else 0

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or was never started."""
        return self._ended.result() if self._ended and self._ended.done() else None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the child; raises ProcessError where the program cannot be run."""
        rig = os.getpid()
        try:
            with self.log.open("ab") as log:
                self._popen = subprocess.Popen(
                    self._command,
                    bufsize=0,
                    stdin=subprocess.PIPE if self._on_line else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if self._on_line else log,
                    stderr=log,
                    env=None if environment is None else dict(environment),
                    start_new_session=True,
                    preexec_fn=lambda: die_with(rig),  # noqa: PLW1509 (one system call, no lock, no allocation of ours)
                )
        except OSError as error:
            raise ProcessError(f"cannot start {self.name} ({self._command[0]}): {error.strerror}") from error
        self._watch(self._popen)

    async def wait(self, timeout_s: float | None = None) -> int:
        """Return the exit code once the child ended; raises TimeoutError after *timeout_s*."""
        if self._ended is None:
            raise ProcessError(f"{self.name} was never started")
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self._ended)

    def write_line(self, text: str) -> None:
        """Write one line to the child's standard input; nothing happens where the child no longer reads."""
        if self._popen is None or self._popen.stdin is None or self.returncode is not None:
            return
        try:
            self._popen.stdin.write(text.encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            return

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child's whole group, if the child still runs."""
        if self._popen is not None and self.returncode is None:
            try:
                os.killpg(self._popen.pid, number)
            except ProcessLookupError:
                return

    async def stop(self, grace_s: float) -> int | None:
        """End the child: SIGTERM, after *grace_s* SIGKILL. Returns its exit code, None if it was never started."""
        if self._popen is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return await self.wait(grace_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait(KILL_WAIT_S)

    def require_running(self) -> None:
        """Raise ProcessError with the end of its log if the child has ended."""
        if self.returncode is not None:
            raise ProcessError(
                f"{self.name} ended with code {self.returncode}: {self.log_tail()} (log: {self.log}, if kept)"
            )

    def log_tail(self) -> str:
        """Return the last line that the child logged."""
        with self.log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = stream.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it logged nothing")

    def _watch(self, popen: subprocess.Popen[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        loop.add_reader(self._pidfd, self._reap, popen)
        if popen.stdout is not None:
            os.set_blocking(popen.stdout.fileno(), False)
            loop.add_reader(popen.stdout.fileno(), self._read_output, popen.stdout.fileno())

    def _reap(self, popen: subprocess.Popen[bytes]) -> None:
        assert self._ended is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if popen.stdout is not None:
            self._read_output(popen.stdout.fileno())
            loop.remove_reader(popen.stdout.fileno())
            popen.stdout.close()
        if popen.stdin is not None:
            popen.stdin.close()
        # Not yet waited for, the child still holds its process group's number: what is left of the group ends here.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        self._ended.set_result(popen.wait())

    def _read_output(self, descriptor: int) -> None:
        """Hand on whole lines; an endless line is cut so that a child gone mad cannot fill the rig's memory."""
        assert self._on_line is not None
        try:
            while data := os.read(descriptor, MAX_LINE_BYTES):
                *lines, rest = (self._output + data).split(b"\n")
                self._output = rest[-MAX_LINE_BYTES:]
                for line in lines:
                    self._on_line(line)
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(descriptor)


def die_with(rig: int) -> None:
    """Run in the child before its program: have the kernel kill it when the rig ends, however that ends."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != rig:
        os._exit(1)
