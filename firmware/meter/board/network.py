"""TCP and TLS over BSD sockets: MicroPython, whose Debian build has `tls` but no `ssl`, and CPython."""

import asyncio
import errno
import select
import socket
import sys

MICROPYTHON = sys.implementation.name == "micropython"
if MICROPYTHON:
    import tls
else:
    import ssl

from meter.board.lookup import look_up

CONNECT_POLL_S = 0.02


async def connect(host, port, authority_path, timeout_s):
    """Return (reader, writer) of a TLS connection whose server certificate *authority_path* vouches for as *host*.

    Raises OSError when it cannot be made in *timeout_s*.
    """
    if MICROPYTHON:
        return await asyncio.wait_for(_connect_micropython(host, port, authority_path), timeout_s)
    context = ssl.create_default_context(cafile=authority_path)
    return await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), timeout_s)


async def connect_plain(host, port, timeout_s):
    """Return (reader, writer) of a plain TCP connection; raises OSError when it cannot be made in *timeout_s*."""
    if MICROPYTHON:
        stream = _Plain(await asyncio.wait_for(_open_socket(host, port), timeout_s))
        return stream, stream
    return await asyncio.wait_for(asyncio.open_connection(host, port), timeout_s)


class _Plain(asyncio.StreamReader):
    """A stream that `close` closes. MicroPython's own leaves that to `wait_closed`, and its file descriptor open."""

    def close(self):
        """Let go of the socket."""
        self.s.close()


async def _connect_micropython(host, port, authority_path):
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    with open(authority_path, "rb") as file:
        try:
            context.load_verify_locations(file.read() + b"\0")
        except ValueError as error:
            raise ValueError("broker.ca {} holds no certificate: {}".format(authority_path, error)) from None
    sock = await _open_socket(host, port)
    try:
        secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        secure.setblocking(False)
    except Exception:
        sock.close()
        raise
    stream = asyncio.StreamReader(secure)
    return stream, stream


async def _open_socket(host, port):
    """Return a connected, non-blocking socket: the first address of *host* that answers."""
    failure = OSError(errno.ECONNREFUSED)
    for family, kind, _, _, address in await look_up(host, port, socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        try:
            await _reach(sock, address)
        except OSError as error:
            failure = error
            sock.close()
        except asyncio.CancelledError:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _reach(sock, address):
    try:
        sock.connect(address)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    while not (events := poller.poll(0)):
        await asyncio.sleep(CONNECT_POLL_S)
    if events[0][1] & (select.POLLERR | select.POLLHUP):
        raise OSError(errno.ECONNREFUSED)
