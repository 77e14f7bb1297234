"""What systemd hears of a gateway and of a node, over a real notify socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.database import Database
from ledger import liveness
from ledger.liveness import find_stalled
from tests.gateway.intake.test_disk import Intake
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import BOUND_S, Plant


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end of the socket; whatever starts now is told of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(BOUND_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        yield made


def test_a_gateway_says_when_it_is_ready_that_it_gets_on_and_that_it_ends(plant: Plant, manager: socket.socket) -> None:
    gateway = plant.start()
    assert manager.recv(4096) == b"READY=1"
    while "broker connected; ledger away" not in (said := manager.recv(4096).decode()):
        assert said.startswith("WATCHDOG=1\nSTATUS=")
    gateway.process.terminate()
    while (last := manager.recv(4096)) != b"STOPPING=1":
        assert last.startswith(b"WATCHDOG=1")
    assert gateway.wait() == 0


def test_a_ledger_node_says_so_too(node: LedgerNode, manager: socket.socket) -> None:
    node.start()
    assert manager.recv(4096) == b"READY=1"
    while not manager.recv(4096).decode().startswith("WATCHDOG=1\nSTATUS=height "):
        pass


async def test_intake_whose_commit_never_returns_starves_the_watchdog_and_one_at_rest_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "STALLED_S", 0.05)
    database = await Database.open(tmp_path / "gateway.sqlite")
    intake = Intake(database)
    try:
        await asyncio.sleep(0.1)
        assert find_stalled({"intake": intake.pipeline.progress}) == []
        async with database.transaction():
            await intake.sink.offer(intake.signed(1))
            deadline = time.monotonic() + BOUND_S
            while find_stalled({"intake": intake.pipeline.progress}) == []:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        await intake.running
        assert find_stalled({"intake": intake.pipeline.progress}) == []
    finally:
        intake.verifier.close()
        await database.close()
