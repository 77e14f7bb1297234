"""One real ledger node: a chain of a single authority, so that a test has finality for the price of one process."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from hil.ports import free_port
from ledger import genesis
from ledger.api.resources import Receipt
from ledger.authority import Authority, AuthoritySet
from ledger.genesis import Genesis, GenesisAccount, Role
from ledger.keys import PrivateKey
from ledger.node.recovery import memory
from ledger.remote.client import AccountClient, LedgerClient
from provisioning import certificates
from tests.gateway.plant import BOUND_S, EPOCH_S, Holder, Pen, show, wait_for
from tests.kernels import compile_kernels


class LedgerNode:
    """The node's process and what it was made from."""

    def __init__(self, folder: Path, gateway: Holder, settle_deadline_s: int = 2 * EPOCH_S) -> None:
        self.folder = folder
        self.gateway = gateway
        self.admin, self.prosumer, self.consumer, self.grid = Holder(), Holder(), Holder(), Holder()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        keys = {name: PrivateKey(secrets.token_bytes(32)) for name in ("vote", "cosign", "log")}
        authority = Authority(bytes(7) + b"\1", "ERC", *(key.public_key for key in keys.values()))
        self.genesis = Genesis(
            "test", int(time.time() - 2 * EPOCH_S) * 1000, secrets.token_bytes(32), AuthoritySet((authority,)),
            genesis.Parameters(
                epoch_s=EPOCH_S, block_interval_ms=100, heartbeat_ms=500, min_order_wh=1,
                settle_deadline_s=settle_deadline_s, settle_deadline_blocks=1,
            ),
            self.grid.id,
            (
                GenesisAccount(self.grid.id, self.grid.key.public_key, Role.GRID, 10**24),
                GenesisAccount(self.admin.id, self.admin.key.public_key, Role.ADMIN),
                GenesisAccount(gateway.id, gateway.key.public_key, Role.GATEWAY),
                GenesisAccount(self.prosumer.id, self.prosumer.key.public_key, Role.USER, 10**24),
                GenesisAccount(self.consumer.id, self.consumer.key.public_key, Role.USER, 10**24),
            ),
        )  # fmt: skip
        self._write(keys)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        compile_kernels()
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from gateway.cli import main; main()", "ledger", "run", "--config",
             self.folder / "node.toml"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        wait_for(self._answers, "the ledger node to answer")

    def stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(BOUND_S)
            finally:
                process.kill()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/v1/status", timeout=BOUND_S) as answer:
                return bool(json.load(answer)["height"] >= 0)
        except OSError:
            return False

    def _write(self, keys: dict[str, PrivateKey]) -> None:
        authority = certificates.make_authority("test")
        certificate = certificates.issue(authority, "ERC", ("127.0.0.1",))
        (self.folder / "ca.crt").write_bytes(authority.certificate_pem)
        (self.folder / "tls.crt").write_bytes(certificate.certificate_pem)
        (self.folder / "tls.key").write_bytes(certificate.key_pem)
        (self.folder / "tls.key").chmod(0o600)
        for name, key in keys.items():
            (self.folder / f"{name}.key").write_text(key.seed.hex() + "\n")
            (self.folder / f"{name}.key").chmod(0o600)
        genesis.dump(self.genesis, self.folder / "genesis.json")
        memory.begin(self.folder / "data", self.genesis.chain_id)
        (self.folder / "node.toml").write_text(
            f"""
name = "ERC"
genesis = "genesis.json"
data_dir = "data"
listen = "127.0.0.1:{free_port()}"
peers = []
[keys]
vote = "vote.key"
cosign = "cosign.key"
log = "log.key"
[tls]
ca = "ca.crt"
cert = "tls.crt"
key = "tls.key"
[api]
intervals = "anybody"
host = "127.0.0.1"
port = {self.port}
"""
        )

    async def call(self, sender: Holder, module: str, function: str, *arguments: object) -> Receipt:
        """Run one call as *sender* and return its final receipt, which must be good."""
        async with LedgerClient([self.url]) as client:
            account = AccountClient(client, self.genesis.chain_id, sender.id, sender.key)
            receipt = await account.call_and_wait(module, function, *arguments)
            assert receipt.code == 0, receipt
            return receipt

    async def enrol(self, pen: Pen, owner: Holder) -> None:
        """Assign the meter to *owner*."""
        await self.call(
            self.admin, "registry", "assign_meter", pen.meter_id, owner.id, "eastron_sdm120", 10_000,
            pen.key.public_key, True, "east",
        )  # fmt: skip


@contextlib.contextmanager
def made_node(folder: Path, gateway: Holder, settle_deadline_s: int = 2 * EPOCH_S) -> Iterator[LedgerNode]:
    """Yield a node that is not started yet, and end it."""
    folder.mkdir()
    node = LedgerNode(folder, gateway, settle_deadline_s)
    try:
        yield node
    finally:
        node.stop()
        show(node.folder / "log", "the ledger node")
