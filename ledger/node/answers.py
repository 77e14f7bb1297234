"""What peers that ask are given: blocks of the height in progress, decided ones, what was computed, snapshots."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from ledger.node.network import wire
from ledger.node.network.sync import MAX_ANSWER_BYTES, WINDOW_BLOCKS
from ledger.node.network.wire import Frame, FrameType
from ledger.node.parts import Parts
from ledger.node.reporting.results import MAX_RESULT_BYTES, Result
from ledger.node.storage.store import Store

log = structlog.get_logger("node")


class Answers:
    """Answers one node's peers; each has one range of blocks sent at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._serving: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Drop the answers in hand."""
        for task in self._tasks:
            task.cancel()

    def take(self, name: str, frame: Frame) -> bool:
        """Answer peer *name*; False: *frame* asks for nothing. Raises MalformedError."""
        match frame.kind:
            case FrameType.WANTED:
                self._send_body(name, wire.read_wanted(frame.payload)[1])
            case FrameType.RANGE:
                self._start_serving(name, *wire.read_range(frame.payload))
            case FrameType.RESULT_WANTED:
                self._send_result(name, wire.read_wanted(frame.payload)[1])
            case FrameType.SNAPSHOTS_WANTED | FrameType.MANIFEST_WANTED | FrameType.PART_WANTED:
                self._parts.snapshots.take_frame(name, frame)
            case _:
                return False
        return True

    def _send_body(self, name: str, block_id: bytes) -> None:
        body = self._parts.blocks.body(block_id)
        if body is not None:
            self._parts.peers.send(name, wire.candidate(block_id, body))

    def _send_result(self, name: str, block_id: bytes) -> None:
        """Tell a peer that computed something else what this node computed for a block."""
        results, candidate = self._parts.results, self._parts.blocks.executed.get(block_id)
        execution = candidate.execution if candidate is not None else results.find_decided(block_id)
        if execution is None or not results.is_first_answer(name, block_id):
            return
        encoded = Result.of(block_id, execution).encode()
        if len(encoded) <= MAX_RESULT_BYTES:
            self._parts.peers.send(name, wire.result(encoded))

    def _start_serving(self, name: str, first: int, count: int) -> None:
        if name in self._serving:
            return
        self._serving.add(name)
        task = asyncio.create_task(self._serve(name, first, min(count, WINDOW_BLOCKS)))
        self._tasks.add(task)
        task.add_done_callback(partial(self._finish, name))

    async def _serve(self, name: str, first: int, count: int) -> None:
        """Send decided blocks from the store, up to a limit of bytes at a time."""
        size = 0
        for height in range(first, first + count):
            found = await self._parts.disk.read(partial(Store.decided, height=height))
            if found is None and height == first:
                self._parts.snapshots.tell_offer(name)
            if found is None or size > MAX_ANSWER_BYTES:
                return
            size += len(found[0])
            self._parts.peers.send(name, wire.decided(*found))

    def _finish(self, name: str, task: asyncio.Task[None]) -> None:
        self._serving.discard(name)
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a peer's request failed", exc_info=error)
