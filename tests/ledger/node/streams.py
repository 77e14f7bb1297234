"""WebSockets to a running node, as a test speaks on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.ledger.node.network import PATIENCE_S, Network


@asynccontextmanager
async def opened(network: Network, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws{network.urls[0][4:]}/v1/stream", proxy=None, **options) as socket:
        yield socket


async def say(socket: ClientConnection, **command: Any) -> dict[str, Any]:
    """Send a command and return its answer, whatever news comes in between."""
    await socket.send(json.dumps(command))
    while True:
        answer = await hear(socket)
        if answer.keys() & {"subscribed", "unsubscribed", "error"}:
            return answer


async def hear(socket: ClientConnection) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))
    return answer
