"""Serves the API in the node's own event loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from ledger.node.settings import Address, SettingsError

BACKLOG: Final = 128
MAX_CONNECTIONS: Final = 256
"""Connections and running requests together; beyond it a client is answered 503 and goes to another node."""


class ApiServer(uvicorn.Server):
    """A server that leaves signals to the node."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


def bind(address: Address) -> socket.socket:
    """Return a listening socket; raises SettingsError where the address cannot be had."""
    try:
        listener = socket.create_server((address.host, address.port), backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"cannot serve the API on {address}: {reason}; free the port or change [api] in node.toml"
        ) from error
    # asyncio does this only where the socket names its protocol; without it every answer waits for a delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def make_server(app: Any) -> ApiServer:
    """Return a server for *app*, to be run with `serve(sockets=[bind(…)])` and ended by `should_exit = True`."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
    )
    return ApiServer(config)
