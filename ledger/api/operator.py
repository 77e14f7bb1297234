"""What only the operator may ask of a node, on a listener of its own: [api] `operator` in node.toml.

Whoever can open that socket is the operator. A route that changes the node, or shows what the public must not see,
stands here and nowhere else; the public routes are answered on this listener, too.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.api import diagnosis, resources
from ledger.api.app import make_app
from ledger.api.problems import ProblemError, answer
from ledger.api.source import NodeSource
from ledger.node.network.peers import Peer
from ledger.node.service import Node

HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def make_operator_app(node: Node, source: NodeSource) -> FastAPI:
    """Return the operator's API of *node*: the public one, from *source*, and /v1/operator."""
    app = make_app(source)
    app.include_router(diagnosis.routes(node, source), prefix="/v1")
    app.include_router(routes(node), prefix="/v1/operator")
    app.add_middleware(NoBrowsers)
    return app


class NoBrowsers:
    """ASGI middleware: a web page must not do what the operator may because his browser reaches the listener."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer programs alone: browsers send an origin, or a name that somebody pointed at this machine."""
        headers = Headers(scope=scope)
        if "origin" in headers or urlsplit(f"//{headers.get('host', '')}").hostname not in HOSTS:
            text = "the operator's listener answers programs on this machine, no browsers"
            await answer(ProblemError(HTTPStatus.FORBIDDEN, "not_for_browsers", text))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def routes(node: Node) -> APIRouter:
    """Return the operator's routes."""
    router = APIRouter()

    @router.get("/peers")
    async def list_peers() -> dict[str, tuple[resources.PeerAddress, ...]]:
        return {"peers": tuple(_describe(peer) for peer in node.peers.by_name.values())}

    return router


def _describe(peer: Peer) -> resources.PeerAddress:
    now_s, conduct = time.monotonic(), peer.conduct
    return resources.PeerAddress(
        name=peer.name,
        address=str(peer.addresses[0]) if peer.addresses else "",
        connected=peer.linked,
        queued=len(peer.outbox.frames),
        score=round(conduct.score(now_s)),
        faults={fault.value: count for fault, count in conduct.faults.items()},
        cut_off_s=max(0, round(conduct.cut_off_until_s - now_s)),
    )
