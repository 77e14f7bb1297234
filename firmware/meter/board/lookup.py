"""Looking a name up without holding the meter up: a board's `getaddrinfo` waits many seconds for a dead name server.

MicroPython's lets other threads run meanwhile, so one asks while the meter goes on. The unix port has no lock around
its objects: all that the thread does to them is to fill one place, once.
"""

import _thread
import asyncio
import errno
import socket
import sys

MICROPYTHON = sys.implementation.name == "micropython"
MAX_ASKING = 2
"""Threads at a time: each takes 5 KB, and one whose asker has given up still waits for its answer."""
POLL_S = 0.02

_asking = []  # [what was found, None so far] of each


async def look_up(host, port, kind):
    """Return what `socket.getaddrinfo` finds for sockets of *kind*; raises OSError. Nothing is remembered."""
    if not MICROPYTHON:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    if ":" in host or host.replace(".", "").isdigit():
        return socket.getaddrinfo(host, port, 0, kind)  # an address needs no name server
    return await look_up_aside(host, port, kind)


async def look_up_aside(host, port, kind):
    """Do the same by a thread."""
    _forget_answered()
    if len(_asking) >= MAX_ASKING:
        raise OSError(errno.EAGAIN, "the name server does not answer")
    found = [None]
    _asking.append(found)
    _thread.start_new_thread(_ask, (found, host, port, kind))
    while found[0] is None:
        await asyncio.sleep(POLL_S)
    _forget_answered()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _forget_answered():
    _asking[:] = [found for found in _asking if found[0] is None]


def _ask(found, host, port, kind):
    try:
        found[0] = socket.getaddrinfo(host, port, 0, kind)
    except Exception as error:
        found[0] = error
