"""etcd and anvil as child processes on the loopback: fetched below .cache, with their data in a temporary folder.

etcd is the distribution's package, unpacked and not installed, so no service of it ever runs; anvil comes by npm, whose
scripts are not run. Neither sees a network but the loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from hil.ports import free_ports
from provisioning.toolchain import archive, sources
from provisioning.toolchain.cache import CACHE
from provisioning.toolchain.errors import ToolchainError
from tests.bench.measure import AbsentError, spent_s

FOLDER = CACHE / "bench-peers"
ETCD_NODES = 3
ANVIL = "@foundry-rs/anvil@1.7.1"
INSTALL_LIMIT_S, START_LIMIT_S, STOP_LIMIT_S = 240, 30, 10
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class PeerNodes:
    """Running processes and the URLs at which they answer."""

    urls: tuple[str, ...]
    processes: tuple[subprocess.Popen[bytes], ...]

    @property
    def spent_s(self) -> float:
        """The processor time that they have taken so far."""
        return spent_s(process.pid for process in self.processes)


def get_etcd() -> Path:
    """Return etcd's executable; raises AbsentError."""
    installed = shutil.which("etcd")
    unpacked = FOLDER / "etcd" / "usr" / "bin" / "etcd"
    if installed is None and not unpacked.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            with archive.opened(sources.signed_by_debian(sources.read_sources())) as opened:
                archive.replace_folder(FOLDER / "etcd", lambda folder: opened.unpack(["etcd-server"], folder))
        except ToolchainError as error:
            raise AbsentError(str(error)[:120]) from error
    return Path(installed) if installed else unpacked


def get_anvil() -> Path:
    """Return anvil's executable; raises AbsentError."""
    folder = FOLDER / "anvil"
    if not (found := _find_anvil(folder)):
        if shutil.which("npm") is None:
            raise AbsentError("there is no npm here")
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        try:
            subprocess.run(
                ["npm", "install", *quiet, "--prefix", str(folder), ANVIL],
                check=True, capture_output=True, text=True, timeout=INSTALL_LIMIT_S,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise AbsentError((error.stderr.strip().splitlines() or ["npm failed"])[0][:120]) from error
        except subprocess.TimeoutExpired as error:
            raise AbsentError(f"not installed after {INSTALL_LIMIT_S} s") from error
        found = _find_anvil(folder)
    if not found:
        raise AbsentError("npm has no anvil for this machine")
    return found[0]


def _find_anvil(folder: Path) -> list[Path]:
    """Return the executable of the package for this machine, which npm chose; it is no script of node's."""
    return list(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))


@contextlib.asynccontextmanager
async def running_etcd(executable: Path) -> AsyncIterator[PeerNodes]:
    """Start a cluster of three that has a leader, each member with its write-ahead log synced as it does by default."""
    peers, clients = ([f"http://127.0.0.1:{port}" for port in free_ports(ETCD_NODES)] for _ in range(2))
    members = ",".join(f"n{place}={url}" for place, url in enumerate(peers))
    with tempfile.TemporaryDirectory() as folder:
        commands = [
            [
                str(executable), "--name", f"n{place}", "--data-dir", f"{folder}/n{place}", "--log-level", "error",
                "--initial-cluster", members, "--initial-cluster-state", "new",
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--listen-client-urls", client, "--advertise-client-urls", client,
            ]
            for place, (peer, client) in enumerate(zip(peers, clients, strict=True))
        ]  # fmt: skip
        with _running(commands, clients, folder) as nodes:
            await _until_healthy(nodes, "/health")
            yield nodes


@contextlib.asynccontextmanager
async def running_anvil(executable: Path, accounts: int) -> AsyncIterator[PeerNodes]:
    """Start one node with so many funded accounts that makes a block every second, of whatever size."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(executable), "--quiet", "--host", "127.0.0.1", "--port", str(port), "--accounts", str(accounts),
            "--block-time", "1", "--gas-limit", str(10**12), "--order", "fifo",
        ]  # fmt: skip
        with _running([command], [f"http://127.0.0.1:{port}"], folder) as nodes:
            await _until_healthy(nodes, "/")
            yield nodes


@contextlib.contextmanager
def _running(commands: Sequence[Sequence[str]], urls: Sequence[str], folder: str) -> Iterator[PeerNodes]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(_start(command, folder) for command in commands)
        yield PeerNodes(tuple(urls), tuple(processes))
    finally:
        for process in processes:
            process.kill()  # the data is thrown away
            process.wait(STOP_LIMIT_S)


def _start(command: Sequence[str], folder: str) -> subprocess.Popen[bytes]:
    silence = subprocess.DEVNULL
    home = {**os.environ, "HOME": folder}
    return subprocess.Popen(command, env=home, cwd=folder, stdin=silence, stdout=silence, stderr=silence)


async def _until_healthy(nodes: PeerNodes, path: str) -> None:
    """Wait until each answers; an etcd that has no leader yet answers that it is of no service."""
    deadline_s = time.monotonic() + START_LIMIT_S
    async with httpx.AsyncClient(trust_env=False) as client:
        for process, url in zip(nodes.processes, nodes.urls, strict=True):
            while not await _is_healthy(client, url + path):
                if process.poll() is not None:
                    raise AbsentError(f"it ended at its start with exit code {process.returncode}")
                if time.monotonic() > deadline_s:
                    raise AbsentError(f"it does not answer {START_LIMIT_S} s after its start")
                await asyncio.sleep(POLL_S)


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return not (await client.get(url)).is_server_error
    except httpx.TransportError:
        return False
