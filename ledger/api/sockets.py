"""Sockets that the API listens on: TCP addresses, and files that only their owner may open."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ledger.node.addresses import Address
from ledger.node.settings import SettingsError

BACKLOG: Final = 128
UNREAD_TIMEOUT_MS: Final = 30_000
"""After so long the kernel gives up a connection whose other end takes nothing of what was sent."""


def bind(address: Address | Path) -> socket.socket:
    """Return a listening socket at a TCP address or a path; raises SettingsError where it cannot be had."""
    try:
        return _bind_path(address) if isinstance(address, Path) else _bind_address(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"cannot serve the API on {address}: {reason}; free the port or change [api] in node.toml"
        ) from error


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield a name of the socket file *path* that fits the 107 bytes which a socket's name may have."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bind_address(address: Address) -> socket.socket:
    listener = socket.create_server(
        (address.host, address.port),
        family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
        backlog=BACKLOG,
    )
    # asyncio does this only where the socket names its protocol; without it every answer waits for a delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT_MS)
    return listener


def _bind_path(path: Path) -> socket.socket:
    """Make the socket anew: one that an ended process left is in the way; a second node never gets this far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        with reachable(path) as name:
            listener.bind(name)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener
