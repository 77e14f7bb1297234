"""The watchdog of a systemd service, sd_notify(3): a datagram for each word, to the socket that systemd names.

MicroPython's unix port takes a socket address as the kernel does: the family, then the path, a zero byte before an
abstract one.
"""

import os
import socket
import struct
import sys

from meter.board.watchdog import Watchdog

MICROPYTHON = sys.implementation.name == "micropython"


def watchdog(timeout_s, process):
    """Return the Watchdog of systemd where it runs this *process* (its id), else one that is idle.

    The time is that of the unit's WatchdogSec; *timeout_s* is for where it has none.
    """
    path = os.getenv("NOTIFY_SOCKET") or ""
    if path[:1] not in ("/", "@"):
        return Watchdog(timeout_s)
    microseconds = os.getenv("WATCHDOG_USEC") or ""
    is_fed = microseconds.isdigit() and int(microseconds) and os.getenv("WATCHDOG_PID") in (None, str(process))
    return Service(path, int(microseconds) / 1_000_000 if is_fed else timeout_s, is_fed)


class Service(Watchdog):
    """systemd at the other end of the socket *path*; fed only if *is_fed*: if the unit asks for it."""

    def __init__(self, path, timeout_s, is_fed):
        super().__init__(timeout_s)
        self._address = _address(path)
        self._is_fed = is_fed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def feed(self):
        """Say that all is well."""
        if self._is_fed:
            self._send("WATCHDOG=1")

    def ready(self):
        """Say that the start is over."""
        self._send("READY=1")

    def stopping(self):
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def status(self, text):
        """Say in one line what the meter is about: `systemctl status` shows it."""
        self._send("STATUS=" + text.replace("\n", " "))

    def _send(self, text):
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return  # nobody listens, or has no time: a feeding that was lost is made up for by the next


def _address(path):
    name = "\0" + path[1:] if path[0] == "@" else path
    return struct.pack("H", socket.AF_UNIX) + name.encode() if MICROPYTHON else name
