"""Modbus TCP: read from pymodbus's server, and deaf to every frame that is not the answer."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from meter import tcp
from meter.board import linux as board
from meter.errors import LineError
from meter.line import ATTEMPTS, Line

from tests.firmware.conftest import RunScript
from tests.firmware.device import Device


class Settings(NamedTuple):
    """What the configuration says of a Modbus TCP server."""

    host: str
    port: int


DATA = b"abcd"
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

READ = """
import asyncio
from collections import namedtuple
from meter.board import linux
from meter.line import Line
line = Line(namedtuple("Settings", ("host", "port"))("127.0.0.1", int(ARGUMENTS[0])), linux)
print(asyncio.run(line.read(1, 4, 72, 2)).hex())
"""

COUNT_FILES = """
import asyncio, os
from collections import namedtuple
from meter.board import linux
from meter.errors import LineError
from meter.line import Line
line = Line(namedtuple("Settings", ("host", "port"))("127.0.0.1", int(ARGUMENTS[0])), linux)
async def fail(times):
    for _ in range(times):
        try:
            await line.read(1, 4, 72, 2)
        except LineError:
            pass
    print(len(list(os.ilistdir("/proc/self/fd"))))
async def main():
    await fail(1)
    await fail(5)
asyncio.run(main())
"""


class Server:
    """A Modbus TCP server; `answers` are used up one a request, then each is answered as `usual`."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.answers: list[Answer] = []
        self.usual: Answer = answer
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await reader.readexactly(12)
                self.requests.append(request)
                await (self.answers.pop(0) if self.answers else self.usual)(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(request))


def frame(request: bytes, data: bytes = DATA, unit: int = 1) -> bytes:
    return request[:4] + (3 + len(data)).to_bytes(2, "big") + bytes([unit, request[7], len(data)]) + data


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Give a running server on a free port."""
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


@pytest.fixture
def line(server: Server) -> Line:
    """Give a line to the server."""
    return Line(Settings("127.0.0.1", server.port), board)


async def test_registers_are_read_on_one_connection(line: Line, server: Server) -> None:
    assert [await line.read(1, 4, 72, 2) for _ in range(3)] == [DATA] * 3
    assert server.connections == 1
    assert [request[2:].hex() for request in server.requests] == ["0000000601040048" + "0002"] * 3
    line.close()


async def test_the_transaction_number_wraps(line: Line, server: Server) -> None:
    line._wire._transaction = 0xFFFE
    assert [await line.read(1, 4, 72, 2) for _ in range(3)] == [DATA] * 3
    assert [request[:2].hex() for request in server.requests] == ["ffff", "0000", "0001"]
    line.close()


async def test_a_late_answer_to_another_request_is_passed_over(line: Line, server: Server) -> None:
    async def late_first(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(b"\x77\x77" + request[2:], b"late") + frame(request))

    server.answers = [late_first]
    assert await line.read(1, 4, 72, 2) == DATA
    assert server.connections == 1
    line.close()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (lambda request: frame(request, unit=2), "slave 2, not 1"),
        (lambda request: frame(request, b"ab"), "2 data bytes, not 4"),
        (lambda request: request[:2] + b"\0\1" + request[4:], "protocol 1"),
        (lambda request: request[:4] + b"\xff\xff" + request[6:], "length 65535"),
        (lambda request: frame(request[:7] + b"\3"), "function 3, not 4"),
        (
            lambda request: b"".join(frame(b"\x77\x77" + request[2:]) for _ in range(tcp.MAX_STALE_FRAMES)),
            "other requests",
        ),
    ],
)
async def test_a_frame_that_is_no_answer_is_refused_and_asked_for_again(
    line: Line, server: Server, bad: Callable[[bytes], bytes], text: str
) -> None:
    async def send_bad(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(bad(request))

    server.answers = [send_bad]
    assert await line.read(1, 4, 72, 2) == DATA
    server.answers = [send_bad] * ATTEMPTS
    with pytest.raises(LineError, match=text):
        await line.read(1, 4, 72, 2)
    line.close()


async def test_a_connection_that_ends_is_made_anew(line: Line, server: Server) -> None:
    async def hang_up(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server.answers = [hang_up]
    assert await line.read(1, 4, 72, 2) == DATA
    assert server.connections == 2
    line.close()


async def test_a_silent_server_is_given_up_in_bounded_time(
    line: Line, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        return

    monkeypatch.setattr(tcp, "ANSWER_TIMEOUT_S", 0.05)
    server.answers = [say_nothing] * ATTEMPTS
    with pytest.raises(LineError, match="did not answer"):
        await line.read(1, 4, 72, 2)
    assert await line.read(1, 4, 72, 2) == DATA
    line.close()


async def test_a_dead_meter_behind_a_gateway_does_not_starve_the_others(line: Line, server: Server) -> None:
    async def answer_for_the_living(request: bytes, writer: asyncio.StreamWriter) -> None:
        silence = request[:4] + b"\0\3" + request[6:7] + bytes([0x80 | request[7], 11])
        writer.write(silence if request[6] == 2 else frame(request, unit=request[6]))

    server.usual = answer_for_the_living
    assert await line.read(1, 4, 72, 2) == DATA
    with pytest.raises(LineError, match="exception 11, gateway target device failed to respond"):
        await line.read(2, 4, 72, 2)
    with pytest.raises(LineError, match=r"slave 2 on .* silent, left out"):
        await line.read(2, 4, 72, 2)
    assert await line.read(1, 4, 72, 2) == DATA
    assert [request[6] for request in server.requests].count(2) == ATTEMPTS
    line.close()


async def test_a_port_where_nobody_listens_is_a_clear_error(server: Server) -> None:
    with pytest.raises(LineError, match=r"cannot use 127\.0\.0\.1:1: no connection can be made"):
        await Line(Settings("127.0.0.1", 1), board).read(1, 4, 72, 2)


async def test_micropython_reads_it_too(server: Server, run_script: RunScript) -> None:
    assert await asyncio.to_thread(run_script, READ, str(server.port)) == DATA.hex() + "\n"


async def test_connections_that_end_leave_no_file_open_on_micropython(server: Server, run_script: RunScript) -> None:
    async def send_nonsense(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\1\0\1zz")

    server.usual = send_nonsense
    before, after = (await asyncio.to_thread(run_script, COUNT_FILES, str(server.port))).split()
    assert before == after
    assert server.connections == (1 + 5) * ATTEMPTS


async def test_the_whole_meter_runs_over_tcp(server: Server, device: Device) -> None:
    values = json.loads(device.config.read_text())
    values["line"] = {"host": "127.0.0.1", "port": server.port}
    device.config.write_text(json.dumps(values))

    async def answer_floats(request: bytes, writer: asyncio.StreamWriter) -> None:
        count = int.from_bytes(request[10:12], "big")
        writer.write(frame(request, struct.pack(">f", 1.5) * (count // 2)))

    server.usual = answer_floats
    device.start()
    signed = await asyncio.to_thread(device.wait_for, lambda event: event["event"] == "signed")
    assert signed["reason"] == "startup"
    assert not device.of_kind("error")
