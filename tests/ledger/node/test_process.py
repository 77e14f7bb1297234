"""The node as a process: clear refusals before it starts, an orderly end, and no orphan."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.api.sockets import bind
from ledger.errors import LedgerError
from ledger.node import settings
from ledger.node.service import Node
from tests.ledger.node.network import CAMPUSGRID, NAMES, PATIENCE_S, Network, until


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CAMPUSGRID, "ledger", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def assert_one_clear_line(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(part in last for part in parts), last


def refusal(network: Network) -> str:
    """Return why the first node does not start."""
    with pytest.raises(LedgerError) as caught:
        asyncio.run(_open(network))
    assert caught.value.user_message
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def _open(network: Network) -> None:
    read = settings.load(network.directory(0) / "node.toml")
    with bind(read.api.http):
        node = Node.open(read)
        try:
            await node.run()
        finally:
            await node.close()


def test_an_occupied_port_is_one_clear_line_and_a_failure(network: Network) -> None:
    with socket.create_server(("127.0.0.1", network.api_ports[0])):
        ended = run_command("run", "--config", str(network.directory(0) / "node.toml"))
        assert_one_clear_line(ended, "cannot serve the API", str(network.api_ports[0]), "free the port")
    with socket.create_server(("127.0.0.1", network.peer_ports[0])):
        assert "cannot listen for peers" in refusal(network)


def test_missing_and_damaged_files_are_named(network: Network) -> None:
    data = network.directory(0) / "data"
    data.mkdir(exist_ok=True)
    (data / "ledger.sqlite").write_bytes(b"\x00\xff" * 10_000)
    assert "is damaged" in refusal(network)
    assert "move the data directory away" in refusal(network)
    (network.root / "ca.crt").write_text("no certificate")
    (data / "ledger.sqlite").unlink()
    assert "cannot use the TLS files" in refusal(network)
    (network.root / "genesis.json").unlink()
    assert "genesis.json" in refusal(network)


def test_a_running_node_shares_its_data_with_nobody_and_ends_when_it_is_told_to(network: Network) -> None:
    network.start(0)
    asyncio.run(network.ready(0))
    again = run_command("run", "--config", str(network.directory(0) / "node.toml"))
    assert_one_clear_line(again, "another process runs on", "data_dir")
    shown = json.loads(run_command("status", "--url", network.urls[0], "--json").stdout)
    assert (shown["name"], shown["height"], shown["alarm"]) == (NAMES[0], 0, None)
    assert network.stop(0, signal.SIGTERM) == 0
    assert_one_clear_line(run_command("status", "--url", network.urls[0]), "no ledger node answered")


def test_a_node_ends_with_the_process_that_started_it(network: Network) -> None:
    program = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"
    node = [CAMPUSGRID, "ledger", "run", "--config", str(network.directory(0) / "node.toml"), "--exit-with-parent"]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *node], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        asyncio.run(network.ready(0))
    finally:
        parent.kill()
        parent.wait()
    asyncio.run(until(lambda: has_ended(child), "the orphan ends"))


async def has_ended(process_id: int) -> bool:
    """Tell whether a process is gone, or dead and waiting for init to notice."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"  # noqa: ASYNC240
