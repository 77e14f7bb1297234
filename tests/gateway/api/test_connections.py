"""Connections on which nobody asks keep nobody out, with uvicorn and real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from gateway.api import connections
from gateway.api.connections import Connection
from tests.gateway.plant import BOUND_S

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that waits 0.2 s for a request, with at most three connections of one address."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(connections, "MAX_OF_ONE", 3)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(PlainTextResponse("here"), http=Connection, ws="none", log_level="warning", lifespan="off")
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


async def test_one_address_has_a_bounded_number_and_others_go_on(port: int) -> None:
    kept = [await call(port) for _ in range(3)]
    for reader, writer in kept:
        writer.write(REQUEST)
        await reader.readuntil(b"here")
    assert await hung_up((await call(port))[0])
    reader, writer = await call(port, "127.0.0.2")
    writer.write(REQUEST)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    kept[0][1].close()
    await kept[0][1].wait_closed()
    reader, writer = await call(port)
    writer.write(REQUEST)
    assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
