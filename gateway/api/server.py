"""The HTTP server: API and dashboard on one address, started and stopped with the gateway."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from gateway.api.application import make_application
from gateway.dashboard import page
from gateway.errors import SettingsError
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

BACKLOG: Final = 128
SHUTDOWN_S: Final = 2
MAX_CONNECTIONS: Final = 200
"""Requests in hand at one time; further ones are answered 503."""


class ApiServer:
    """The server over an already bound socket."""

    def __init__(self, overview: Overview, listening: socket.socket) -> None:
        application = make_application(overview)
        page.add_dashboard(application, overview)
        host, port = listening.getsockname()[:2]
        self.url = f"http://{host}:{port}/"
        self.is_local = ipaddress.ip_address(host).is_loopback
        self._listening = listening
        self._server = _QuietServer(
            uvicorn.Config(
                application, log_level="warning", limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=SHUTDOWN_S,
            )
        )  # fmt: skip

    @property
    def is_serving(self) -> bool:
        """Tell whether requests are answered."""
        return self._server.started

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listening])

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.should_exit = True


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the gateway, which has more than a server to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(settings: ApiSettings) -> socket.socket:
    """Return a listening socket; raises SettingsError if the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; choose another api.port"
        ) from error
    listening.listen(BACKLOG)
    return listening
