"""Something costly that many ask for: gathered once for all who ask at one time, and kept for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """What *gather* returned last, no older than *max_age_s*; where it fails, all who ask are told so."""

    def __init__(self, gather: Callable[[], Awaitable[T]], max_age_s: float) -> None:
        self._gather = gather
        self._max_age_s = max_age_s
        self._gathering = asyncio.Lock()
        self._newest: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return it."""
        async with self._gathering:
            if self._newest is None or time.monotonic() - self._newest[0] > self._max_age_s:
                asked_at = time.monotonic()
                self._newest = asked_at, await self._gather()
            return self._newest[1]
