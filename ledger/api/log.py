"""The log as outsiders follow it: its newest checkpoint, and how the sets of authorities handed over."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from ledger import checkpoint, handover
from ledger.api.parameters import CborResponse
from ledger.api.problems import not_found
from ledger.api.source import Source
from ledger.node.store import Store


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint() -> str:
        provable = source.provable
        if provable is None:
            raise not_found("no_checkpoint", "no checkpoint has a quorum of cosignatures yet")
        own = checkpoint.sign_as_log(provable.checkpoint, source.log_key)
        return checkpoint.note(provable.checkpoint, (own, *provable.lines))

    @router.get("/handovers", response_class=CborResponse)
    async def read_handovers() -> Response:
        held = await source.disk.read(Store.handovers)
        file = handover.encode_all(source.genesis.chain_id, list(held.values()))
        return CborResponse(file)

    return router
