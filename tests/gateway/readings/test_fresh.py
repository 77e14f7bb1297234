"""What many ask for at one time is gathered once, and nobody gets what is not there yet."""

from __future__ import annotations

import asyncio

import pytest

from gateway.readings.fresh import Fresh


class Source:
    """Counts how often it was asked; fails where it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def gather(self) -> int:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no")
        return number


async def test_all_who_ask_at_one_time_get_what_was_gathered_once() -> None:
    source = Source()
    fresh = Fresh(source.gather, 60)
    assert await asyncio.gather(*(fresh.get() for _ in range(5))) == [1] * 5
    assert (await fresh.get(), source.asked) == (1, 1)


async def test_what_is_too_old_is_gathered_anew() -> None:
    source = Source()
    fresh = Fresh(source.gather, -1)
    assert [await fresh.get() for _ in range(3)] == [1, 2, 3]


async def test_a_failure_is_told_and_not_kept() -> None:
    source = Source()
    fresh = Fresh(source.gather, 60)
    source.fails = True
    with pytest.raises(OSError, match="no"):
        await fresh.get()
    source.fails = False
    assert await fresh.get() == 2
