"""Looking a name up without holding the meter up: a board's `getaddrinfo` waits many seconds for a dead name server.

The ESP32's lets other threads run meanwhile, so one asks while the meter goes on.
"""

import _thread
import asyncio
import errno
import socket

MAX_ASKING = 2
"""Threads at a time: each takes 5 KB, and one whose asker has given up still waits for its answer."""
POLL_S = 0.05

_asking = {}  # by the id of what each is to fill: two empty lists would be equal


async def look_up_aside(host, port, kind):
    """Return what `socket.getaddrinfo` finds for sockets of *kind*; raises OSError."""
    if len(_asking) >= MAX_ASKING:
        raise OSError(errno.EAGAIN, "the name server does not answer")
    found = []
    _asking[id(found)] = found
    _thread.start_new_thread(_ask, (found, host, port, kind))
    while not found:
        await asyncio.sleep(POLL_S)
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _ask(found, host, port, kind):
    try:
        answer = socket.getaddrinfo(host, port, 0, kind)
    except Exception as error:
        answer = error
    del _asking[id(found)]
    found.append(answer)
