"""The log as outsiders follow it (c2sp.org/tlog-tiles under the prefix /v1), and how the authorities handed over.

Entries are salted commitments and block headers; what opens a commitment is in its owner's proof alone.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from fastapi.responses import PlainTextResponse, Response

from ledger import handover, tiles
from ledger.api.parameters import CborResponse
from ledger.api.problems import not_found
from ledger.api.source import Source
from ledger.errors import MalformedError
from ledger.node.storage.log_rows import MissingHashError
from ledger.node.storage.store import Store
from ledger.tiles import Tile

MAX_INDEX: Final = 2**48
"""Far beyond any log, and well within what the database counts with."""


class TileResponse(Response):
    """Hashes or entries, as c2sp.org/tlog-tiles puts them together."""

    media_type = "application/octet-stream"


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint() -> str:
        shown = source.public_checkpoint
        if shown is None:
            raise not_found("no_checkpoint", "no checkpoint has a quorum of cosignatures yet")
        return shown.note(source.log_key)

    @router.get("/handovers", response_class=CborResponse)
    async def read_handovers() -> Response:
        held = await source.disk.read(Store.handovers)
        file = handover.encode_all(source.genesis.chain_id, list(held.values()))
        return CborResponse(file)

    @router.get("/tile/entries/{place:path}", response_class=TileResponse)
    async def read_entries(place: str) -> Response:
        tile = _read_tile(0, place)
        found = await source.disk.read(lambda store: store.entries(tile.first, tile.width))
        if len(found) != tile.width or not all(found):
            text = f"the entries {place} are not here: the log is shorter, or this node joined later; ask another node"
            raise not_found("unknown_tile", text)
        return _immutable(tiles.bundle(found))

    @router.get("/tile/{level}/{place:path}", response_class=TileResponse)
    async def read_tile(level: Annotated[int, Path(ge=0, le=tiles.MAX_LEVEL)], place: str) -> Response:
        tile = _read_tile(level, place)
        try:
            found = await source.disk.read(lambda store: store.tree_hashes(level, tile.first, tile.width))
        except MissingHashError as error:
            raise not_found(
                "unknown_tile", f"the log has no tile {tile.path} yet; its checkpoint says how long"
            ) from error
        return _immutable(b"".join(found))

    return router


def _read_tile(level: int, place: str) -> Tile:
    try:
        index, width = tiles.read_place(place)
    except MalformedError as error:
        raise not_found("unknown_tile", f"{error}; tiles are addressed as c2sp.org/tlog-tiles says") from error
    if index > MAX_INDEX:
        raise not_found("unknown_tile", f"no log has a tile {place}")
    return Tile(level, index, width)


def _immutable(data: bytes) -> Response:
    return TileResponse(data, headers={"Cache-Control": "public, max-age=31536000, immutable"})
