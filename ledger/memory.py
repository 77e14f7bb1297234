"""A bounded memory of what is known of bytes: a pure function's answers, so that each is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """Answers *find* for byte strings and remembers the newest answers; what it raises is not remembered."""

    def __init__(self, find: Callable[[bytes], T], max_count: int, max_bytes: int) -> None:
        """Remember at most *max_count* answers about *max_bytes* in all."""
        self._find = find
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._known: dict[bytes, T] = {}
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """Return how many answers are remembered."""
        return len(self._known)

    def __call__(self, data: bytes) -> T:
        """Return what is known of *data*; raises what *find* does."""
        known = self._known.get(data)
        if known is None:
            known = self._find(data)
            self._remember(data, known)
        return known

    def _remember(self, data: bytes, known: T) -> None:
        with self._lock:
            if self._known.setdefault(data, known) is known:
                self._bytes += len(data)
            while len(self._known) > self._max_count or self._bytes > self._max_bytes:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._bytes -= len(oldest)
