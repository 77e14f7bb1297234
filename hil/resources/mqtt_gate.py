"""A gate before a broker: its clients meet a network that breaks, delays and doubles, with a real broker behind it.

It ends the client's TLS, looks at the CONNECT, and either answers that itself and hangs up, or opens the way to the
broker and hands packets on from then on. Some brokers of MQTT 3.1.1 answer a CONNECT of MQTT 5 as their standard wants
it (`old_broker`), others hang up without a word, or wait for more. What becomes of the messages to the client is a
`hil.delivery_faults.DeliveryFault`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from hil.delivery_faults import DeliveryFault

Answer = Callable[[int], bytes | None]
"""Takes the protocol level of a CONNECT; returns what to say before hanging up, or None: to the broker with it."""

LEVEL_3_1_1: Final = 4
UNACCEPTABLE_VERSION: Final = b"\x20\x02\x00\x01"
"""CONNACK of MQTT 3.1.1 (MQTT-3.1.2-2)."""
END_LIMIT_S: Final = 5.0
SHUTDOWN_S: Final = 0.1
"""As brokers do, the gate does not wait for the meter's end of the TLS before it closes the connection."""
PUBLISH, PUBACK = 3, 4


def pass_all(_level: int) -> None:
    """Let every CONNECT through."""


def old_broker(level: int) -> bytes | None:
    """Answer as a broker of MQTT 3.1.1 does."""
    return UNACCEPTABLE_VERSION if level > LEVEL_3_1_1 else None


class MqttGate:
    """Listens with TLS on `port`; `levels` are those of the CONNECTs so far, `heard` what clients sent past it.

    `answer` and `fault` may be changed at any time; `cut` breaks all connections as a network does, and while the gate
    `is_shut` no new one comes: `turned_away` counts those that tried. `broken` counts connections that were cut.
    """

    def __init__(self, folder: Path, broker_port: int, answer: Answer = pass_all) -> None:
        """Use `server.crt` and `server.key` of *folder*, and its `ca.crt` towards the broker."""
        self.answer = answer
        self.port = 0
        self.levels: list[int] = []
        self.heard = bytearray()
        self.fault: DeliveryFault | None = None
        self.is_shut = False
        self.turned_away = 0
        self.broken = 0
        self._broker_port = broker_port
        self._to_meter = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._to_meter.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._to_broker = ssl.create_default_context(cafile=folder / "ca.crt")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(END_LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(END_LIMIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_LIMIT_S)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection, to the client and to the broker, without a word of MQTT."""
        self._loop.call_soon_threadsafe(self._cut)

    def say(self, data: bytes) -> None:
        """Send *data* to the meter as if it came from the broker; there is one connection."""
        self._loop.call_soon_threadsafe(self._say, data)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._to_meter, ssl_shutdown_timeout=SHUTDOWN_S
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self) -> None:
        self.broken += len(self._writers)
        for writer in self._writers:
            writer.transport.abort()

    def _say(self, data: bytes) -> None:
        self._meter.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_shut:
            self.turned_away += 1
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._let_in(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect = await _read_packet(reader)
        level = connect[connect.index(b"MQTT") + 4]
        self.levels.append(level)
        answer = self.answer(level)
        if answer is not None:
            writer.write(answer)
            await writer.drain()
            return
        self._meter = writer
        broker = await asyncio.open_connection("127.0.0.1", self._broker_port, ssl=self._to_broker)
        self._writers.add(broker[1])
        surplus: Counter[bytes] = Counter()
        try:
            broker[1].write(connect)
            ways = [self._go_up(reader, broker[1], surplus), self._come_down(broker[0], writer, surplus)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:  # also where the gate ends: how each way ended is heard, else asyncio complains of it
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writers.discard(broker[1])
            broker[1].close()

    async def _go_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, surplus: Counter[bytes]) -> None:
        """Hand on what the client sends, save acknowledgements of copies, of which the broker knows nothing."""
        while packet := await _read_packet(reader):
            self.heard += packet
            if packet[0] >> 4 == PUBACK and surplus[packet[2:4]]:
                surplus[packet[2:4]] -= 1
                continue
            writer.write(packet)
            await writer.drain()

    async def _come_down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, surplus: Counter[bytes]
    ) -> None:
        """Hand on what the broker sends, messages as the fault wants it."""
        while packet := await _read_packet(reader):
            if self.fault is None or packet[0] >> 4 != PUBLISH:
                writer.write(packet)
                await writer.drain()
                continue
            now = self._loop.time()
            first, *copies = self.fault.deliver(packet, now)
            if copies and (number := _message_number(packet)):
                surplus[number] += len(copies)
            for due, one in (first, *copies):
                self._loop.call_later(due - now, _write_if_open, writer, one)


def _write_if_open(writer: asyncio.StreamWriter, packet: bytes) -> None:
    """Hand on a late packet; the connection that it belongs to may be gone by now, and the broker sends it again."""
    if not writer.is_closing():
        writer.write(packet)


async def _read_packet(reader: asyncio.StreamReader) -> bytes:
    """Return the whole packet that comes next."""
    packet = await reader.readexactly(2)
    length, shift = packet[1] & 0x7F, 7
    while packet[-1] & 0x80:
        packet += await reader.readexactly(1)
        length |= (packet[-1] & 0x7F) << shift
        shift += 7
    return packet + await reader.readexactly(length)


def _message_number(publish: bytes) -> bytes:
    """Return the two bytes by which a PUBLISH is acknowledged; none with QoS 0."""
    head = 2
    while publish[head - 1] & 0x80:
        head += 1
    topic_end = head + 2 + int.from_bytes(publish[head : head + 2], "big")
    return publish[topic_end : topic_end + 2] if publish[0] & 0x06 else b""
