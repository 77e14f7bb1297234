"""Routes of the market: orders, delivery epochs, totals."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from ledger.api import resources, views
from ledger.api.access import Viewer, find_viewer
from ledger.api.parameters import MAX_EPOCH, EpochNumber
from ledger.api.source import Source

MAX_READ_LINES: Final = 20_000
"""Settlement lines that one request makes a node read; a longer answer comes in several pages."""


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/orders")
    async def list_orders(
        epoch: Annotated[int | None, Query(ge=0, le=MAX_EPOCH)] = None,
        account: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
    ) -> dict[str, tuple[resources.Order, ...]]:
        owner = bytes.fromhex(account) if account else None
        return {"orders": await source.ledger.run(lambda chain: views.show_orders(chain.state, epoch, owner))}

    @router.get("/epochs/{number}")
    async def read_epoch(request: Request, number: EpochNumber) -> resources.Epoch:
        return await _show_epoch(source, number, await find_viewer(source, request.headers))

    @router.get("/epochs")
    async def list_epochs(
        request: Request,
        first: Annotated[int, Query(alias="from", ge=0, le=MAX_EPOCH)],
        last: Annotated[int, Query(alias="to", ge=0, le=MAX_EPOCH)],
    ) -> resources.EpochPage:
        viewer = await find_viewer(source, request.headers)
        numbers = await source.ledger.run(lambda chain: views.list_epochs(chain.state, first, last))
        found: list[resources.Epoch] = []
        lines = 0
        for number in numbers:
            found.append(await _show_epoch(source, number, viewer))
            lines += len(found[-1].lines) + found[-1].hidden_lines
            if lines >= MAX_READ_LINES:
                break
        more = len(found) < len(numbers) or len(numbers) == views.MAX_LISTED_EPOCHS
        return resources.EpochPage(tuple(found), more)

    @router.get("/supply")
    async def read_supply() -> resources.Supply:
        return await source.ledger.run(lambda chain: views.show_supply(chain.state))

    return router


async def _show_epoch(source: Source, number: int, viewer: Viewer) -> resources.Epoch:
    leaves = await source.disk.read(lambda store: store.settlement_leaves(number))
    lines = [views.show_line(leaf) for leaf in leaves]
    return await source.ledger.run(
        lambda chain: views.show_epoch(chain.runtime.look(chain.state), number, lines, viewer)
    )
