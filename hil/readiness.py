"""Waiting for conditions: bounded, and broken off as soon as the process that should bring them about has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import httpx

from hil.errors import ProcessError
from hil.resources.process import ChildProcess

POLL_S: Final = 0.1
T = TypeVar("T")


async def until(
    what: str, probe: Callable[[], Awaitable[T | None]], timeout_s: float, children: Sequence[ChildProcess] = ()
) -> T:
    """Return what *probe* finds once that is not None; raises ProcessError after *timeout_s* or a child's end."""
    deadline = time.monotonic() + timeout_s
    while (found := await probe()) is None:
        for child in children:
            child.require_running()
        if time.monotonic() > deadline:
            raise ProcessError(f"{what} did not happen within {timeout_s:.0f} s")
        await asyncio.sleep(POLL_S)
    return found


async def port_open(host: str, port: int) -> bool | None:
    """Return True once something accepts connections on *port*, else None."""
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return None
    writer.close()
    return True


async def json_from(http: httpx.AsyncClient, url: str) -> dict[str, Any] | None:
    """Return the JSON object at *url*, or None while it is not served."""
    try:
        response = await http.get(url)
    except httpx.TransportError:
        return None
    if response.status_code != httpx.codes.OK:
        return None
    content = response.json()
    return content if isinstance(content, dict) else None
