"""Routes: where the node stands, blocks, authorities and parameters."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from ledger import checkpoint
from ledger.api import resources, views
from ledger.api.parameters import MAX_HEIGHT, Hash, Height
from ledger.api.problems import not_found, pruned
from ledger.api.source import Source
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store

MAX_LISTED_BLOCKS: Final = 100


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/status")
    async def read_status() -> resources.NodeStatus:
        return await source.describe()

    @router.get("/blocks/{height}")
    async def read_block(height: Height) -> resources.BlockSummary:
        found = await source.disk.read(partial(Store.decided, height=height))
        if found is None:
            gone = await source.disk.read(lambda store: store.pruned(Kept.BODIES))
            if 0 < height <= gone:
                raise pruned(f"this node has blocks from {gone + 1} on; ask another for block {height}")
            newest = await source.ledger.run(lambda chain: chain.height)
            raise not_found("unknown_block", f"there is no block {height} here; the newest is {newest}")
        return views.show_block(found[0])

    @router.get("/blocks/by-id/{block_id}")
    async def read_block_by_id(block_id: Hash) -> resources.BlockSummary:
        found = await source.disk.read(lambda store: store.decided_by_id(bytes.fromhex(block_id)))
        if found is None:
            raise not_found("unknown_block", f"there is no block {block_id} here")
        return views.show_block(found)

    @router.get("/blocks")
    async def list_blocks(
        first: Annotated[int, Query(alias="from", ge=1, le=MAX_HEIGHT)] = 1,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED_BLOCKS)] = MAX_LISTED_BLOCKS,
    ) -> dict[str, tuple[resources.Head, ...]]:
        found = await source.disk.read(lambda store: store.bodies(first, limit))
        return {"blocks": tuple(map(views.show_head, found))}

    @router.get("/authorities")
    async def read_authorities() -> resources.Authorities:
        members = await source.ledger.run(lambda chain: chain.state.authority_set)
        origin = checkpoint.origin(source.genesis.chain_id)
        names = tuple(resources.AuthorityName(member.name, member.id) for member in members.members)
        return resources.Authorities(origin, tuple(map(str, checkpoint.verifier_keys(members, origin))), names)

    @router.get("/parameters")
    async def read_parameters() -> dict[str, Any]:
        return await source.ledger.run(lambda chain: views.show_parameters(chain.runtime.look(chain.state).parameters))

    return router
