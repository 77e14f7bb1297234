"""What a pipeline needs of the broker, in memory: for tests of intake that need no network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.intake.pipeline import Message


@dataclass(slots=True)
class Sink:
    """Hands out what is offered, one batch after the other, then ends; keeps what comes back."""

    acknowledged: list[Message] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    _batches: asyncio.Queue[list[Message]] = field(default_factory=asyncio.Queue)

    async def offer(self, *batches: list[Message]) -> None:
        """Offer *batches*, and nothing after them."""
        for batch in (*batches, []):
            await self._batches.put(batch)

    async def take(self, limit: int) -> list[Message]:
        batch = await self._batches.get()
        assert len(batch) <= limit
        return batch

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged.extend(messages)

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, payload))
