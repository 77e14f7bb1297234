"""Following a ledger's events over a WebSocket, from node to node, each event once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from ledger.api import resources
from ledger.errors import LedgerError
from ledger.remote.nodes import ClientError

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 5.0
MAX_MESSAGE_BYTES: Final = 64 * 2**20
"""A page of events, as large as the calls of one block can make it."""
_EVENTS: Final = TypeAdapter(tuple[resources.PlacedEvent, ...])

log = structlog.get_logger("client")


class SubscriptionRefusedError(LedgerError):
    """A node understood the subscription and refused it; `code` says why."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['detail']} ({problem['code']})")
        self.code: str = problem["code"]


async def follow_events(
    urls: Sequence[str],
    after: str | None,
    wanted: dict[str, str],
    authorize: Callable[[], Awaitable[dict[str, str]]],
) -> AsyncIterator[resources.PlacedEvent]:
    """Yield the events behind the cursor *after* (None: from now on) that fit *wanted*, for ever.

    A node that fails is left for the next one of *urls*, at the place that was reached. *authorize* gives the headers
    that show who asks.
    """
    pause_s = FIRST_PAUSE_S
    for url in itertools.cycle(urls):
        place = {} if after is None else {"after": after}
        command = {"id": 1, "subscribe": "events", **place, **wanted}
        try:
            async with connect(
                _stream_url(url),
                open_timeout=CONNECT_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                proxy=None,
                additional_headers=await authorize(),
            ) as socket:
                await socket.send(json.dumps(command))
                async for message in socket:
                    answer = json.loads(message)
                    if "error" in answer:
                        raise SubscriptionRefusedError(answer["error"])
                    for event in _EVENTS.validate_python(answer.get("events", ())):
                        after = event.cursor
                        yield event
                    after, pause_s = answer["next"], FIRST_PAUSE_S
                fault = "it closed the connection"
        except (OSError, WebSocketException, TimeoutError, ClientError) as error:
            fault = str(error) or type(error).__name__
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            fault = f"it did not answer as a ledger node does: {error}"
        log.warning("a node that was followed is left", url=url, reason=fault, cursor=after)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _stream_url(url: str) -> str:
    return f"ws{url.removeprefix('http')}/v1/stream"
