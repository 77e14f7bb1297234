"""The read-only API of a node's database, served inside the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from hil.ports import free_port
from ledger.api import server
from ledger.api.app import make_app
from ledger.api.readonly import ReadOnlySource
from ledger.api.sockets import bind
from ledger.node import settings
from ledger.node.addresses import Address
from tests.ledger.node.network import Network


@asynccontextmanager
async def opened(
    network: Network, node: str, intervals: Literal["owners", "anybody"] = "anybody"
) -> AsyncIterator[ReadOnlySource]:
    """Yield what reads the first node's database, and passes submissions on to *node*."""
    read = settings.load(network.directory(0) / "node.toml")
    api = read.api.model_copy(update={"intervals": intervals})
    source = await ReadOnlySource.open(read.model_copy(update={"api": api}), node)
    try:
        yield source
    finally:
        await source.close()


@asynccontextmanager
async def served(source: ReadOnlySource) -> AsyncIterator[str]:
    """Serve the API of *source*, and yield its URL."""
    port = free_port()
    with bind(Address(host="127.0.0.1", port=port)) as listener:
        api = server.make_server(make_app(source))
        following, serving = asyncio.create_task(source.follow()), asyncio.create_task(api.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            api.should_exit = True
            following.cancel()
            await asyncio.gather(serving, following, return_exceptions=True)
