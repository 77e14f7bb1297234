from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.database import Database


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A real store, new and empty."""
    opened = await Database.open(tmp_path / "gateway.sqlite")
    try:
        yield opened
    finally:
        await opened.close()
