"""Serves the API in the node's own event loop: public addresses, and the operator's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from ledger.api.sockets import BACKLOG

MAX_CONNECTIONS: Final = 512
"""Connections of one server together; beyond it a client is answered 503 and goes to another node."""
MAX_FRAME_BYTES: Final = 16 * 1024
"""Of what a WebSocket client sends: subscriptions."""
PING_INTERVAL_S: Final = 20.0


class ApiServer(uvicorn.Server):
    """A server that leaves signals to the node."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


def make_server(app: Any) -> ApiServer:
    """Return a server for *app*, to be run with `serve(sockets=[bind(…)])` and ended by `should_exit = True`."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
    )
    return ApiServer(config)
