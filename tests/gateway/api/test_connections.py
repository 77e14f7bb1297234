"""Connections on which nobody asks keep nobody out, with uvicorn and real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.api import connections
from gateway.api.connections import Connection
from tests.gateway.plant import BOUND_S

HEAD_TIMEOUT_S = 0.2
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, below /slow after twice the time that one may take to ask; so by websocket, too."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await asyncio.sleep(2 * HEAD_TIMEOUT_S)
        await send({"type": "websocket.send", "text": "here"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * HEAD_TIMEOUT_S)
    await PlainTextResponse("here")(scope, receive, send)


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that waits a moment for a request, with at most three connections of one address."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", HEAD_TIMEOUT_S)
    monkeypatch.setattr(connections, "MAX_OF_ONE", 3)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, http=Connection, log_level="warning", lifespan="off", proxy_headers=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving


async def call(port: int, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Wait until the server hangs up; tell whether it did so without a word."""
    async with asyncio.timeout(BOUND_S):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


@pytest.mark.parametrize("sent", [b"", REQUEST[:-2], REQUEST[:4]])
async def test_who_does_not_ask_in_time_is_hung_up_on(port: int, sent: bytes) -> None:
    reader, writer = await call(port)
    writer.write(sent)
    assert await hung_up(reader)


async def test_half_a_request_after_a_whole_one_is_not_waited_for_either(port: int) -> None:
    reader, writer = await call(port)
    for _ in range(2):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    writer.write(REQUEST[:-2])
    assert await hung_up(reader)


@pytest.mark.parametrize(
    "request_", [REQUEST.replace(b"/ ", b"/slow "), REQUEST.replace(b"Host: x\r\n", b"Host: x\r\n" + UPGRADE)]
)
async def test_who_has_asked_is_not_hung_up_on_however_long_the_answer_takes(port: int, request_: bytes) -> None:
    reader, writer = await call(port)
    writer.write(request_)
    async with asyncio.timeout(BOUND_S):
        assert (await reader.readuntil(b"here")).startswith((b"HTTP/1.1 200", b"HTTP/1.1 101"))
    writer.close()


async def test_one_address_has_a_bounded_number_and_others_go_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 3 * BOUND_S)
    kept = [await call(port) for _ in range(3)]
    for reader, writer in kept:
        writer.write(REQUEST)
        await reader.readuntil(b"here")
    kept.append(await call(port))  # and stays open on this side
    assert await hung_up(kept[-1][0])
    reader, writer = await call(port, "127.0.0.2")
    writer.write(REQUEST)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    kept[0][1].close()
    await kept[0][1].wait_closed()
    reader, writer = await call(port)
    writer.write(REQUEST)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
