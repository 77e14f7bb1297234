"""A question and its answer by UDP, over BSD sockets: MicroPython and CPython."""

import asyncio
import errno
import socket
import sys

from meter.board.lookup import look_up

MICROPYTHON = sys.implementation.name == "micropython"
MAX_BYTES = 512


async def exchange(host, port, question, is_answer, timeout_s, count_ms):
    """Send the datagram *question*; return (answer, `count_ms()` when it was sent, `count_ms()` when the answer came).

    What comes from another address, or what `is_answer` does not hold for, is no answer. Raises OSError, or
    asyncio.TimeoutError after *timeout_s*.
    """
    return await asyncio.wait_for(_ask(host, port, question, is_answer, count_ms), timeout_s)


async def _ask(host, port, question, is_answer, count_ms):
    failure = OSError(errno.EHOSTUNREACH)
    for family, kind, _, _, address in await look_up(host, port, socket.SOCK_DGRAM):
        sock = socket.socket(family, kind)
        try:
            sock.setblocking(False)
            sock.connect(address)  # from now on the socket hears nobody else
            asked_ms = count_ms()
            sock.send(question)
            while True:
                data = await _hear(sock)
                if is_answer(data):
                    return data, asked_ms, count_ms()
        except OSError as error:
            failure = error
        finally:
            sock.close()
    raise failure


async def _hear(sock):
    """Return the next datagram."""
    if not MICROPYTHON:
        return await asyncio.get_running_loop().sock_recv(sock, MAX_BYTES)
    await asyncio.StreamReader(sock).read(0)  # waits for a datagram and takes nothing: a read would join several
    return sock.recv(MAX_BYTES)
