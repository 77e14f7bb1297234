"""One connection of a client: it has to ask in time, and nobody has so many that others find none left.

uvicorn closes a connection that is idle after an answer, but not one on which nothing, or half a request, was sent: a
few hundred of these would keep everybody out.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.access.limits import network_of

MAX_CONNECTIONS: Final = 400
"""At one time; requests on further ones are answered 503."""
MAX_OF_ONE: Final = 100
"""Of one address, unless it is the proxy's; further ones are closed."""
HEAD_TIMEOUT_S: Final = 10.0
"""How long a client may take from opening a connection, or from a request's first byte, to the end of its headers."""


class Connection(H11Protocol):
    """HTTP/1.1 over one connection, until it becomes a websocket."""

    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or close it where its address has enough."""
        super().connection_made(transport)
        if self._is_one_too_many():
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take *data*; half a request has to become a whole one in time."""
        super().data_received(data)
        is_asking = self.cycle is not None and not self.cycle.response_complete
        if is_asking or self not in self.connections:  # as after an upgrade to a websocket
            self._stop_waiting()
        elif self._head_due is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_one_too_many(self) -> bool:
        if self.config.proxy_headers:
            return False
        own = network_of(_host(self))
        return sum(network_of(_host(one)) == own for one in self.connections) > MAX_OF_ONE

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


def _host(connection: Any) -> str:
    return str(connection.client[0]) if connection.client else ""
