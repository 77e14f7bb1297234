"""One link: frames that wait, are written and are read. A frame is `length u32 ‖ type u8 ‖ payload`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.errors import LedgerError
from ledger.node.network import wire
from ledger.node.network.wire import Frame, FrameType

MAX_QUEUED_FRAMES: Final = 4096
MAX_QUEUED_BYTES: Final = 16 * 2**20
_LENGTH_BYTES: Final = 4
_LONGEST: Final = max(wire.MAX_PAYLOAD_BYTES.values())


class PeerFaultError(LedgerError):
    """A peer broke the protocol: its link is closed, and its operator must act."""


@dataclass(slots=True)
class Outbox:
    """Frames that wait for one link. When it is full the *oldest* go: whatever matters is sent again on status."""

    frames: deque[Frame] = field(default_factory=deque)
    size: int = 0
    dropped: int = 0
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: Frame) -> None:
        """Queue *frame*, dropping and counting the oldest ones beyond the limits."""
        self.frames.append(frame)
        self.size += len(frame.payload)
        while len(self.frames) > MAX_QUEUED_FRAMES or self.size > MAX_QUEUED_BYTES:
            self.size -= len(self.frames.popleft().payload)
            self.dropped += 1
        self.filled.set()

    def take(self) -> Iterable[Frame]:
        """Return all queued frames, leaving none."""
        frames, self.frames, self.size = self.frames, deque(), 0
        self.filled.clear()
        return frames


async def pump(outbox: Outbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what the outbox gets until the link ends; raises OSError, PeerFaultError."""
    await _first_done(_write_all(outbox, writer), _until_closed(reader))


def write(writer: asyncio.StreamWriter, *frames: Frame) -> None:
    """Hand *frames* to the link's buffer, as one record of TLS where they fit into one."""
    parts: list[bytes] = []
    for frame in frames:
        parts += ((len(frame.payload) + 1).to_bytes(_LENGTH_BYTES, "big"), bytes((frame.kind,)), frame.payload)
    writer.write(b"".join(parts))


async def read(reader: asyncio.StreamReader) -> Frame:
    """Return the next frame; raises PeerFaultError before it reads what is too long or of no known type."""
    size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big") - 1
    if not 0 <= size <= _LONGEST:
        raise PeerFaultError(f"a frame with {size} bytes")
    number = (await reader.readexactly(1))[0]
    if number not in FrameType._value2member_map_:
        raise PeerFaultError(f"a frame of unknown type {number}")
    kind = FrameType(number)
    if size > wire.MAX_PAYLOAD_BYTES[kind]:
        raise PeerFaultError(f"a {kind.name} frame with {size} bytes; at most {wire.MAX_PAYLOAD_BYTES[kind]} are read")
    return Frame(kind, await reader.readexactly(size))


async def _write_all(outbox: Outbox, writer: asyncio.StreamWriter) -> None:
    while True:
        await outbox.filled.wait()
        write(writer, *outbox.take())
        await writer.drain()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    if await reader.read(1):
        raise PeerFaultError("the peer wrote on a link that it only reads")


async def _first_done(*coroutines: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
