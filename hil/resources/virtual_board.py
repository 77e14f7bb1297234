"""A 32-bit RISC-V microcontroller in QEMU that runs the firmware under MicroPython's `ports/qemu`.

Python goes in over its console (MicroPython's raw REPL), output comes back; a tty of the host can be its RS-485 port.
Time stands still between instructions: each counts a nanosecond, so the board's own timer counts them exactly.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from typing import Self

from hil.errors import BoardError
from hil.resources.process import die_with

PROGRAM = "qemu-system-riscv32"
START_LIMIT_S = 20
ENTER_RAW_REPL = b"\x03\x01"
END_OF_SOURCE = END_OF_PART = b"\x04"
PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
TAKEN = b"OK"
CHUNK_BYTES = 4096
FLASH_BYTES = 32 * 1024 * 1024  # the machine takes no other size


def make_flash(path: Path) -> Path:
    """Make the file of an erased flash and return its path."""
    path.write_bytes(b"\xff" * FLASH_BYTES)
    return path


class VirtualBoard:
    """A board that boots the image `elf`; `line` is a tty of the host that its second UART is wired to.

    `flash` is the file of its second flash bank, made here by `make_flash`; leaving the `with` cuts the power.
    """

    def __init__(self, elf: Path, line: Path | None = None, flash: Path | None = None) -> None:
        bank = ["-drive", f"if=pflash,unit=1,format=raw,file={flash}"] if flash else []
        wires = ["-chardev", f"serial,id=line,path={line}", "-device", "pci-serial,chardev=line"] if line else []
        self._command = [
            *(PROGRAM, "-machine", "virt", "-bios", "none", "-nographic", "-monitor", "none", "-semihosting"),
            *("-icount", "shift=0", "-serial", "stdio", *wires, *bank),
            # not -kernel, which would start from the flash where there is one
            *("-device", f"loader,file={elf},cpu-num=0"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    def __enter__(self) -> Self:
        rig = os.getpid()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            preexec_fn=lambda: die_with(rig),  # noqa: PLW1509 (one system call, no lock, no allocation of ours)
        )
        try:
            self._send(ENTER_RAW_REPL)
            self._read_to(PROMPT, time.monotonic() + START_LIMIT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running()
        process.kill()
        process.communicate()

    def run(self, source: str, limit_s: float = 30) -> str:
        """Run Python source on the board and return what it prints; BoardError carries the board's own traceback."""
        deadline_s = time.monotonic() + limit_s
        self._send(source.encode() + END_OF_SOURCE)
        self._read_to(TAKEN, deadline_s)
        output = self._read_to(END_OF_PART, deadline_s)
        failure = self._read_to(END_OF_PART, deadline_s)
        self._read_to(b">", deadline_s)
        if failure:
            raise BoardError(f"the virtual board stopped in the source given to it: {failure.decode().strip()}")
        return output.decode().replace("\r\n", "\n")

    def run_until(self, source: str, lines: int, limit_s: float = 30) -> list[str]:
        """Run source that does not end and return the first `lines` of its output; the board goes on with it."""
        deadline_s = time.monotonic() + limit_s
        self._send(source.encode() + END_OF_SOURCE)
        self._read_to(TAKEN, deadline_s)
        return [self._read_to(b"\r\n", deadline_s).decode() for _ in range(lines)]

    def _send(self, data: bytes) -> None:
        pipe = self._running().stdin
        assert pipe is not None
        while data:
            data = data[pipe.write(data) or 0 :]

    def _read_to(self, mark: bytes, deadline_s: float) -> bytes:
        """Return what came before `mark`; what came after it stays for the next call."""
        while mark not in self._received:
            self._received += self._read(deadline_s)
        found, _, self._received = self._received.partition(mark)
        return found

    def _read(self, deadline_s: float) -> bytes:
        pipe = self._running().stdout
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline_s - time.monotonic()))
        data = os.read(pipe.fileno(), CHUNK_BYTES) if ready else b""
        if not data:
            reason = "ended" if ready else "did not answer in time"
            raise BoardError(f"the virtual board {reason}; the last it said: {self._received[-300:]!r}")
        return data

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BoardError("the virtual board is not running: use it in a `with`")
        return self._process
