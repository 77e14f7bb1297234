"""The network between real nodes: one TCP relay for each directed link, which the test cuts, stalls and mends.

A node writes only on links that it dialled and reads only on those that it accepted (ledger/node/network/peers.py).
So what passes through the relay of (source, target) is what the source says to the target, and cutting it cuts one
way.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum

from hil.ports import LOOPBACK, free_port

CHUNK_BYTES = 65_536


class Passage(Enum):
    """What a relay does: let everything pass, hold what comes (as lost packets would), or break connections."""

    OPEN = "open"
    STALLED = "stalled"
    CUT = "cut"


@dataclass
class Relay:
    """Listens on `port` for one source, and passes on to whoever listens on `target_port` now."""

    target_port: int
    port: int = field(default_factory=free_port)
    hindered: int = 0
    _passage: Passage = Passage.OPEN
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    def set(self, passage: Passage) -> None:
        self._passage = passage
        if passage is Passage.STALLED:
            self._open.clear()
        else:
            self._open.set()
        if passage is Passage.CUT:
            self.hang_up()

    def lead_to(self, target_port: int) -> None:
        """Pass on to another port from now on."""
        if target_port != self.target_port:
            self.target_port = target_port
            self.hang_up()

    def hang_up(self) -> None:
        """Break what is connected."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            if self._passage is Passage.CUT:
                self.hindered += 1
                return
            answers, far = await asyncio.open_connection(LOOPBACK, self.target_port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far))
                both.create_task(self._pump(answers, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            if far is not None:
                far.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if not self._open.is_set():
                self.hindered += 1
                await self._open.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError  # either end has closed: so does the other


class Links:
    """The relays of all directed links, by the names of the two processes."""

    def __init__(self) -> None:
        self.relays: dict[tuple[str, str], Relay] = {}

    async def add(self, source: str, target: str, target_port: int) -> int:
        """Make a link and return the port that *source* is to dial."""
        relay = self.relays[source, target] = Relay(target_port)
        await relay.listen()
        return relay.port

    def set(self, sources: set[str], targets: set[str], passage: Passage) -> list[Relay]:
        """Let each link from one of *sources* to one of *targets* do this; return their relays."""
        struck = [one for (source, target), one in self.relays.items() if source in sources and target in targets]
        for relay in struck:
            relay.set(passage)
        return struck

    async def close(self) -> None:
        for relay in self.relays.values():
            with contextlib.suppress(asyncio.CancelledError):
                await relay.close()
