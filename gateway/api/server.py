"""The HTTP server: API and dashboard on one address, started and stopped with the gateway."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from gateway.access.doorkeeper import Doorkeeper
from gateway.api.application import make_application
from gateway.api.connections import MAX_CONNECTIONS, Connection
from gateway.api.gate import MAX_HEAD_BYTES
from gateway.dashboard import page
from gateway.errors import SettingsError
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

BACKLOG: Final = 128
SHUTDOWN_S: Final = 2
MAX_FRAME_BYTES: Final = 256 * 1024
"""Of the dashboard's websockets."""


class ApiServer:
    """The server over an already bound socket."""

    def __init__(self, overview: Overview, door: Doorkeeper, settings: ApiSettings, listening: socket.socket) -> None:
        self._application = make_application(overview, door, settings)
        page.add_dashboard(self._application, overview, door, settings)
        self.url = settings.base_url
        self._listening = listening
        self._server = _QuietServer(
            uvicorn.Config(
                self._application, log_level="warning", limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=SHUTDOWN_S, http=Connection, h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                ws_max_size=MAX_FRAME_BYTES, server_header=False, proxy_headers=settings.behind_proxy,
                forwarded_allow_ips=settings.trusted_proxy or "127.0.0.1", **_tls(settings),
            )
        )  # fmt: skip
        self._application.state.connections = self._server.server_state.connections

    @property
    def is_serving(self) -> bool:
        """Tell whether requests are answered."""
        return self._server.started

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listening])

    def stop(self) -> None:
        """Let `serve` return."""
        self._application.state.streams.close()
        self._server.should_exit = True


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the gateway, which has more than a server to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_tls_context(settings: ApiSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the server, None where it serves in the clear; raises SettingsError."""
    if settings.cert is None or settings.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.cert, settings.key)
    except OSError as error:  # an ssl.SSLError is one
        cause = error.strerror or str(error)
        raise SettingsError(
            f"api.cert {settings.cert} and api.key {settings.key} cannot be used: {cause}; give a certificate (PEM) and"
            " its key"
        ) from error
    return context


def _tls(settings: ApiSettings) -> dict[str, Any]:
    context = make_tls_context(settings)
    return {} if context is None else {"ssl_context_factory": lambda _config, _default: context}


def bind(settings: ApiSettings) -> socket.socket:
    """Return a listening socket; raises SettingsError if the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # named as TCP, or asyncio leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error};"
            " a gateway may run there already: end it, or choose another api.port"
        ) from error
    listening.listen(BACKLOG)
    return listening
