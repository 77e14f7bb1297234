"""The gate before API and dashboard: every request and every websocket passes it, and what it does not know it refuses.

In order: how it came (proxy, host, other sites), who it is, how often they ask, whether they may come this far.
What they may see behind it, each operation decides (`gateway.api.doors`).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import AT_THIS_MACHINE, Access
from gateway.api.problems import problem, too_many
from gateway.settings import ApiSettings

MAX_HEAD_BYTES: Final = 16 * 1024
"""Of a request's address and headers."""
MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 20.0
PUBLIC: Final = ("/login", "/logout", "/enrol/", "/favicon.ico", "/api/session")
"""Where one gets in, for everybody; a trailing slash stands for all below it."""
OF_THIS_MACHINE: Final = ("/health", "/metrics")
"""For this machine without a log-in, so that what watches it needs no secret."""
FOR_PROGRAMS: Final = ("/api/", "/health", "/metrics", "/openapi.json")
"""What a key opens; the rest is for people."""
_PAGE_MACHINERY: Final = "/_nicegui"
"""What an open page asks for by itself, whether somebody sits before it or not."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED: Final = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
_HEADERS: Final = {
    "Content-Security-Policy": (  # what is made of strings in the page is its own framework's; nothing comes from afar
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; object-src 'none'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Gate:
    """ASGI middleware around everything that the gateway serves. `scope["state"]["access"]` is who asks, or None."""

    def __init__(self, app: ASGIApp, door: Doorkeeper, settings: ApiSettings) -> None:
        self._app = app
        self._door = door
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let *scope* through or answer it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._check_way(scope, headers) or await self._check_caller(scope, headers)
        guarded = self._with_headers(scope, send)
        if refusal is None:
            await self._app(scope, _limited(receive) if scope["type"] == "http" else receive, guarded)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, guarded)

    def _check_way(self, scope: Scope, headers: Headers) -> Response | None:
        """Refuse what comes by a way that it should not come."""
        if self._settings.behind_proxy and scope["scheme"] not in {"https", "wss"}:
            return problem(403, "this gateway answers through its proxy only, and over https")
        if self._settings.login == "none" and not _is_from_here(scope, headers):
            return problem(403, 'with login = "none" this gateway answers its own machine only, without a proxy')
        head_bytes = len(scope["path"]) + len(scope["query_string"])
        if head_bytes + sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
            return problem(431, f"a request's address and headers have at most {MAX_HEAD_BYTES} bytes")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MAX_BODY_BYTES:
            return problem(413, f"a request's body has at most {MAX_BODY_BYTES} bytes")
        is_writing = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if is_writing and not _is_same_site(headers):
            return problem(403, "this request comes from a page of another site; open the gateway's own page")
        return None

    async def _check_caller(self, scope: Scope, headers: Headers) -> Response | None:
        """Find out who asks and refuse them where they may not come this far."""
        access = await identify(headers, self._door, self._settings)
        scope.setdefault("state", {})["access"] = access
        address, path = address_of(scope), scope["path"]
        if wait_s := self._door.must_wait(access, address):
            return too_many(wait_s)
        if access is not None and access.is_key and not _is_below(path, FOR_PROGRAMS):
            return problem(403, "pages are for people; a key opens /api/")
        if access is not None and not path.startswith(_PAGE_MACHINERY):
            await self._door.sessions.use(access)
        if access is not None or _is_below(path, PUBLIC) or self._is_watching(scope, headers):
            return None
        if scope["type"] == "websocket" or path.startswith(_PAGE_MACHINERY) or _is_below(path, FOR_PROGRAMS):
            challenge = {"WWW-Authenticate": 'Bearer realm="campusgrid"'}
            return problem(401, "log in at /login, or send an API key as `Authorization: Bearer`", challenge)
        return RedirectResponse("/login" if path == "/" else f"/login?to={quote(path)}", 303)

    def _is_watching(self, scope: Scope, headers: Headers) -> bool:
        return (
            scope["type"] == "http"
            and scope["path"] in OF_THIS_MACHINE
            and not self._settings.behind_proxy
            and _is_from_here(scope, headers)
        )

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        is_private = not scope["path"].startswith(_PAGE_MACHINERY)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_private:
                    headers.setdefault("Cache-Control", "no-store")
                if self._settings.is_secure:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        return guarded


async def identify(headers: Headers, door: Doorkeeper, settings: ApiSettings) -> Access | None:
    """Return who sent *headers*, or None for a stranger."""
    if "authorization" in headers:
        scheme, _, token = headers["authorization"].partition(" ")
        return await door.keys.find(token.strip()) if scheme.casefold() == "bearer" else None
    if settings.login == "none":
        return AT_THIS_MACHINE
    session = read_cookie(headers, cookie_name(settings))
    return await door.sessions.find(session) if session else None


def cookie_name(settings: ApiSettings) -> str:
    """Return the name of the session's cookie: one that a browser sends to no other host, where there is TLS."""
    return "__Host-campusgrid" if settings.is_secure else f"campusgrid-{settings.port}"


def read_cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of the cookie called *name*, if there is one in *headers*."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def address_of(scope: Scope) -> str:
    """Return the address that a request came from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    return any(path.startswith(place) if place.endswith("/") else path == place for place in places)


def _is_from_here(scope: Scope, headers: Headers) -> bool:
    """Tell whether a request comes from this machine, by a name of its own: a stranger's name may point here too."""
    if any(name in headers for name in _FORWARDED):
        return False
    return _is_loopback(address_of(scope)) and _is_loopback(_host_of(headers.get("host", "")))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _is_same_site(headers: Headers) -> bool:
    """Tell whether a browser says that our own page sends this; programs that are no browsers say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _limited(receive: Receive) -> Receive:
    """Return *receive* for a body of at most MAX_BODY_BYTES that is whole within BODY_TIMEOUT_S."""
    received: dict[str, Any] = {"bytes": 0, "whole": False}
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def limited() -> Message:
        if received["whole"]:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, "the request's body did not come in time") from error
        received["bytes"] += len(message.get("body", b""))
        received["whole"] = not message.get("more_body", False)
        if received["bytes"] > MAX_BODY_BYTES:
            raise HTTPException(413, f"a request's body has at most {MAX_BODY_BYTES} bytes")
        return message

    return limited
