"""What a client may take of the API: so many requests a second, so many at once, so long a query, so large a body."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.api.problems import ProblemError, answer

MAX_QUERY_BYTES: Final = 2_048
MAX_PATH_BYTES: Final = 512
MAX_RUNNING: Final = 64
"""Requests that run at once; beyond it a client is answered 503 and goes to another node."""
MAX_ADDRESSES: Final = 4_096
BURST_S: Final = 2
BODY_TIMEOUT_S: Final = 10.0


class Limits:
    """ASGI middleware. `requests_per_s` is for each address but this machine's own; None: no such limit.

    Only web pages of `origins` may open WebSockets: for those, browsers ask no leave of their own accord.
    """

    def __init__(self, app: ASGIApp, requests_per_s: int | None, origins: Collection[str]) -> None:
        self._app, self._origins = app, origins
        self._rates = None if requests_per_s is None else Rates(requests_per_s)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or say why not."""
        problem = self._refuse(scope)
        if problem is not None and scope["type"] == "http":
            await answer(problem)(scope, receive, send)
            return
        if problem is not None:
            await send({"type": "websocket.close", "code": 1008, "reason": problem.code})  # before the handshake: 403
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1

    def _refuse(self, scope: Scope) -> ProblemError | None:
        if len(scope["query_string"]) > MAX_QUERY_BYTES or len(scope["path"]) > MAX_PATH_BYTES:
            text = f"a path has at most {MAX_PATH_BYTES} characters, a query {MAX_QUERY_BYTES} bytes"
            return ProblemError(HTTPStatus.REQUEST_URI_TOO_LONG, "query_too_long", text)
        origin = Headers(scope=scope).get("origin")
        if scope["type"] == "websocket" and origin is not None and origin not in self._origins:
            return ProblemError(HTTPStatus.FORBIDDEN, "foreign_origin", "`cors` in node.toml does not name this origin")
        if scope["type"] == "http" and self._running >= MAX_RUNNING:
            text = f"{MAX_RUNNING} requests run already; ask again in a second, or ask another node"
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "busy", text, retry_after_s=1)
        if self._rates is not None and not self._rates.take(_address(scope), time.monotonic()):
            text = f"an address may ask {self._rates.per_s} times a second; wait, or ask another node"
            return ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", text, retry_after_s=1)
        return None


class Rates:
    """A bucket of requests for each address, filled *per_s* a second; the addresses seen longest ago are forgotten."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now_s: float) -> bool:
        """Take one request of *address* at *now_s*; tell whether there was one left."""
        if _is_loopback(address):
            return True
        full = float(self.per_s * BURST_S)
        left, since_s = self._buckets.pop(address, (full, now_s))
        left = min(full, left + (now_s - since_s) * self.per_s)
        self._buckets[address] = (left - 1 if left >= 1 else left, now_s)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body; one that is longer or comes too slowly is refused before it is there whole."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    text = f"the body has at most {max_bytes} bytes"
                    raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", text)
    except TimeoutError as error:
        text = f"the body did not come within {BODY_TIMEOUT_S:.0f} s; send it again"
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", text) from error
    return bytes(body)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == ""  # a client of the operator's socket has none
