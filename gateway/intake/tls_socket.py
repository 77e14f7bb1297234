"""A TLS socket whose user reads what it is handed, and writes in one piece what it has sent in many.

An MQTT client reads a packet byte by byte and sends each acknowledgement by itself. On a TLS socket each of these is a
record, a system call or two, and a moment without the interpreter's lock, for which all other threads then queue.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

RECORD_BYTES: Final = 16 * 1024
"""A TLS record carries no more, and no read returns more than one."""
MAX_UNSENT_BYTES: Final = 64 * 1024
"""How much is collected before it is written without being asked to; beyond it the socket is not writable."""


class BufferedTlsSocket(ssl.SSLSocket):
    """The client's end of the line to the broker. Non-blocking, for one thread; `sslsocket_class` of an SSLContext.

    Who drives the client calls `receive`, hands it by `give` what it shall `recv`, and calls `flush` after its sends.
    """

    _given = b""
    _is_at_end = False
    _unsent = b""

    def receive(self) -> bytes:
        """Return what the peer sent, a TLS record at most, b"" at its end; raises SSLWantReadError if nothing yet."""
        data = super().recv(RECORD_BYTES)
        self._is_at_end = not data
        return data

    def give(self, data: bytes) -> None:
        """Let the client receive *data* next."""
        self._given += data

    @property
    def has_given(self) -> bool:
        """Tell whether there is something that the client can receive, be it the end."""
        return bool(self._given) or self._is_at_end

    def recv(self, buflen: int = 1024, _flags: int = 0) -> bytes:
        """Return up to *buflen* bytes of those given, b"" at the end; raises SSLWantReadError if there are none."""
        if not self._given and not self._is_at_end:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing was given")
        taken, self._given = self._given[:buflen], self._given[buflen:]
        return taken

    @property
    def has_unsent(self) -> bool:
        """Tell whether a `flush` is still to be made, or made again once the socket is writable."""
        return bool(self._unsent)

    def send(self, data: Any, _flags: int = 0) -> int:
        """Take all of *data*; raises SSLWantWriteError where the peer has not read what was sent before."""
        if len(self._unsent) >= MAX_UNSENT_BYTES:
            self.flush()
            if len(self._unsent) >= MAX_UNSENT_BYTES:
                raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "the peer does not read")
        self._unsent += bytes(data)
        return len(data)

    def flush(self) -> None:
        """Send as much of what was collected as the socket takes; raises OSError where it is broken."""
        with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._unsent:
                self._unsent = self._unsent[super().send(self._unsent) :]

    def close(self) -> None:
        """Send what was collected if it can be sent at once, then close."""
        with contextlib.suppress(OSError, ValueError):
            self.flush()
        self._unsent = b""
        super().close()
