"""The service manager hears of progress and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.liveness import STALLED_S, Notifier, Progress, find_stalled, watch


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(50)
        yield made


def test_a_part_stands_still_only_when_it_has_work_and_does_not_get_on() -> None:
    clock = [0.0]
    part = Progress(lambda: clock[0])
    clock[0] += 10 * STALLED_S
    assert find_stalled({"a": part}) == []
    with part.working():
        clock[0] += STALLED_S
        assert find_stalled({"a": part}) == []
        part.beat()
        clock[0] += STALLED_S + 1
        assert find_stalled({"a": part, "b": Progress()}) == ["a"]
        with part.working():
            assert find_stalled({"a": part}) == []
    clock[0] += 10 * STALLED_S
    assert find_stalled({"a": part}) == []


async def test_the_watchdog_is_fed_while_all_get_on_and_starves_when_one_does_not(listening: socket.socket) -> None:
    clock = [0.0]
    part = Progress(lambda: clock[0])
    notifier = Notifier(listening.getsockname(), watchdog_s=0.03)
    watching = asyncio.create_task(watch(notifier, {"intake": part}, lambda: "all\nis well"))
    assert await heard(listening) == "WATCHDOG=1\nSTATUS=all is well"
    with part.working():
        clock[0] += STALLED_S + 1
        while "WATCHDOG" in (said := await heard(listening)):
            pass
        assert said == "STATUS=stands still: intake"
        assert await heard(listening) == "STATUS=stands still: intake"
    while "WATCHDOG" not in await heard(listening):
        pass
    watching.cancel()


def test_without_a_service_manager_and_with_one_that_went_away_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier.from_environment().tell(READY=1)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    notifier = Notifier.from_environment()
    assert notifier.watchdog_s is None
    notifier.tell(READY=1)


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("")  # the kernel chooses a name
        made.settimeout(5)
        Notifier("@" + made.getsockname()[1:].decode()).tell(READY=1)
        assert made.recv(100) == b"READY=1"


async def heard(listening: socket.socket) -> str:
    return (await asyncio.to_thread(listening.recv, 4096)).decode()
