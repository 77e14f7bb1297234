"""The newest final block, told to whoever follows the chain inside this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Heads:
    """Knows the newest `height`; calls whoever `follow`s at each new one, in the event loop."""

    def __init__(self, height: int) -> None:
        self.height = height
        self._followers: set[Callable[[], None]] = set()

    def announce(self, height: int) -> None:
        """Tell all followers that the block of *height* is final and stored."""
        self.height = height
        for follower in tuple(self._followers):
            follower()

    @contextmanager
    def follow(self, follower: Callable[[], None]) -> Iterator[None]:
        """Have *follower* called at every new block while the body runs."""
        self._followers.add(follower)
        try:
            yield
        finally:
            self._followers.discard(follower)
