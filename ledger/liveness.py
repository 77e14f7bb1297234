"""Whether a process gets on with its work, told to the service manager by sd_notify(3): for node and gateway.

The watchdog is fed only while every part either makes progress or has nothing to do. A part that hangs, or an event
loop that stands still, thus ends in a restart by systemd; a full disk or an absent neighbour does not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

STALLED_S: Final = 180.0
"""How long a part may be at one piece of work without a sign of progress: longer than every timeout inside one."""
FED_BY_DEFAULT_S: Final = 10.0
"""How often the state is told where no watchdog asks for it."""
log = structlog.get_logger("liveness")


@dataclass(slots=True)
class Progress:
    """How one part gets on: `beat` at each step, `working` around a piece of work; without one it is at rest."""

    now: Callable[[], float] = time.monotonic
    _pieces: int = 0
    _beat_at: float = 0.0

    def beat(self) -> None:
        """Note that the part has got on."""
        self._beat_at = self.now()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the part to be at work until the block is left."""
        self._pieces += 1
        self.beat()
        try:
            yield
        finally:
            self._pieces -= 1
            self.beat()

    @property
    def stalled_s(self) -> float:
        """Seconds since the last sign of progress; 0 while there is nothing to do."""
        return self.now() - self._beat_at if self._pieces else 0.0


@dataclass(slots=True)
class Notifier:
    """The socket of the service manager, if one waits for this process. Telling it never fails the teller."""

    address: str | None
    watchdog_s: float | None = None
    """Within how many seconds the service manager wants to be told again, or None."""
    _socket: socket.socket | None = field(default=None, init=False)

    @classmethod
    def from_environment(cls) -> Notifier:
        """Return the notifier that the service manager asks for."""
        wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
        is_ours = wanted.isdecimal() and (not process or process == str(os.getpid()))
        return cls(os.environ.get("NOTIFY_SOCKET") or None, int(wanted) / 1e6 if is_ours else None)

    def tell(self, **state: str | int) -> None:
        """Tell the service manager, such as `tell(READY=1, STATUS="…")`."""
        if self.address is None:
            return
        lines = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in state.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(lines.encode(), self.address.replace("@", "\0", 1))  # "@": an abstract address
        except OSError as error:
            log.warning("the service manager cannot be told", cause=str(error))


async def watch(notifier: Notifier, parts: Mapping[str, Progress], describe: Callable[[], str]) -> None:
    """Feed the watchdog until cancelled, for as long as every one of *parts* gets on; *describe* is the status line."""
    pause_s = notifier.watchdog_s / 3 if notifier.watchdog_s else FED_BY_DEFAULT_S
    told: list[str] = []
    while True:
        stalled = find_stalled(parts)
        if stalled:
            notifier.tell(STATUS=f"stands still: {', '.join(stalled)}")
        else:
            notifier.tell(WATCHDOG=1, STATUS=describe())
        if stalled and stalled != told:
            log.error("parts stand still; the service manager will start this process again", parts=stalled)
        told = stalled
        await asyncio.sleep(pause_s)


def find_stalled(parts: Mapping[str, Progress]) -> list[str]:
    """Return the names of the *parts* that have been at one piece of work for longer than `STALLED_S`."""
    return [name for name, part in parts.items() if part.stalled_s > STALLED_S]
