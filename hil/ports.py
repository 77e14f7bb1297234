"""Ports of the loopback for a virtual campus or a test, which no other one on this machine is given as well.

A port that was bound and let go is anybody's: of the range that Linux takes the ports of outgoing connections from,
one is soon somebody's on a busy machine. So a process takes a block of ports below that range for itself: it holds the
first of them bound as long as it lives, and hands out the others in turn.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from functools import cache
from typing import Final

from hil.errors import DemoError

LOOPBACK: Final = "127.0.0.1"
FIRST: Final = 12_000
END: Final = 32_000
"""Below the range of Linux from which every outgoing connection is given a port."""
BLOCK: Final = 200


def free_port() -> int:
    """Return a port on which nothing listens; it comes again only after all others of the block.

    Raises DemoError where the block, or the whole range, is taken.
    """
    _, turn = _own_block()
    for port in itertools.islice(turn, BLOCK):
        if held := _bind(port):
            held.close()
            return port
    raise DemoError(f"all {BLOCK} ports of this process are in use: what leaves its servers behind (`ss -tlnp`)?")


def free_ports(count: int) -> list[int]:
    """Return *count* different ports on which nothing listens."""
    return [free_port() for _ in range(count)]


@cache
def _own_block() -> tuple[socket.socket, Iterator[int]]:
    """Return what holds this process's block, and its ports over and over."""
    for first in range(FIRST, END, BLOCK):
        if keeper := _bind(first):
            return keeper, itertools.cycle(range(first + 1, first + BLOCK))
    raise DemoError(f"all ports from {FIRST} to {END} are taken: which processes bind them (`ss -tlnp`)?")


def _bind(port: int) -> socket.socket | None:
    opened = socket.socket()
    try:
        opened.bind((LOOPBACK, port))
    except OSError:
        opened.close()
        return None
    return opened
