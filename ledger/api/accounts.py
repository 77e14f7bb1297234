"""Routes of what the state holds: accounts, meters, anchors."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from ledger.api import resources, views
from ledger.api.access import find_viewer
from ledger.api.parameters import ID_PATTERN, Id
from ledger.api.problems import not_found
from ledger.api.source import Source

MAX_LISTED_METERS: Final = 1_000


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/accounts/{account}")
    async def read_account(account: Id) -> resources.Account:
        wanted = bytes.fromhex(account)
        waiting = await source.next_nonce(wanted)  # first: what waits now may stand in a block a moment later
        found = await source.ledger.run(lambda chain: views.show_account(chain.state, wanted, waiting))
        if found is None:
            raise not_found("unknown_account", f"there is no account {account}")
        return found

    @router.get("/meters")
    async def list_meters(
        request: Request,
        after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED_METERS)] = MAX_LISTED_METERS,
    ) -> resources.MeterPage:
        last, viewer = bytes.fromhex(after) if after else None, await find_viewer(source, request.headers)
        return await source.ledger.run(lambda chain: views.show_meters(chain.state, last, limit, viewer))

    @router.get("/meters/{meter}")
    async def read_meter(request: Request, meter: Id) -> resources.Meter:
        viewer = await find_viewer(source, request.headers)
        found = await source.ledger.run(lambda chain: views.show_meter(chain.state, bytes.fromhex(meter), viewer))
        if found is None:
            raise not_found("unknown_meter", f"there is no meter {meter}")
        return found

    @router.get("/anchors/{account}")
    async def read_anchors(account: Id) -> resources.AnchorHead:
        return await source.ledger.run(lambda chain: views.show_anchors(chain.state, bytes.fromhex(account)))

    return router
