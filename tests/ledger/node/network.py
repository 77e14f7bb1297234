"""Four authorities as four real processes: keys, genesis and TLS made in a temporary directory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hil.ports import free_ports
from ledger import genesis, keys
from ledger.authority import Authority, AuthoritySet
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.node.recovery import memory
from ledger.remote.client import AccountClient, ClientError, LedgerClient
from tests.kernels import compile_kernels

NAMES = ("ERC", "MEA", "PEA", "EGAT")
CAMPUSGRID = str(Path(sys.executable).parent / "campusgrid")
START_TIMEOUT_S = 60.0
PATIENCE_S = 50.0
"""Not a promise: so long a test waits on a machine that is busy with other tests, too."""
SHOWN = 3_000
"""Of a node's log, beside a failure."""
USER = bytes.fromhex("aa00000000000001")
OTHER = bytes.fromhex("aa00000000000002")
ADMIN = bytes.fromhex("aa000000000000ad")
GRID = bytes.fromhex("aa000000000000ff")
EPOCH_S = 2
"""The epoch of the network that tests share."""
PARAMETERS = Parameters(epoch_s=3600, block_interval_ms=200, heartbeat_ms=600_000)


@dataclass
class Network:
    """A campus directory with four nodes; `start` and `kill` act on one of them by its place."""

    root: Path
    genesis: Genesis
    peer_ports: list[int]
    api_ports: list[int]
    certificates: CertificateAuthority
    names: list[str] = field(default_factory=lambda: list(NAMES))
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    programs: dict[int, list[str]] = field(default_factory=dict)
    """What runs in the place of `campusgrid`, by place."""

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.api_ports]

    def add(self, name: str, seeds: dict[str, bytes]) -> int:
        """Make a node that is to join, known to the others as a peer; return its place. Call before any starts."""
        place, (peer_port, api_port) = len(self.names), free_ports(2)
        self.names.append(name)
        self.peer_ports.append(peer_port)
        self.api_ports.append(api_port)
        directory = self.directory(place)
        directory.mkdir()
        write_keys(directory, seeds)
        self.certificates.issue(name, directory / "tls.crt", directory / "tls.key")
        for other in range(place):
            with (self.directory(other) / "node.toml").open("a") as file:
                file.write(f'[[peers]]\nname = "{name}"\naddress = "127.0.0.1:{peer_port}"\n')
        text = node_toml(place, [*self.peer_ports, *self.api_ports], tuple(self.names))
        (directory / "node.toml").write_text("joins = true\n" + text)
        return place

    def directory(self, place: int) -> Path:
        return self.root / "authorities" / self.names[place]

    def configure(self, place: int, section: str, **values: int) -> None:
        """Add a section to a node's settings."""
        text = "".join(f"{name} = {value}\n" for name, value in values.items())
        with (self.directory(place) / "node.toml").open("a") as file:
            file.write(f"[{section}]\n{text}")

    def rewrite(self, place: int, before: str, after: str) -> None:
        """Change a running node's settings and have it read them again."""
        file = self.directory(place) / "node.toml"
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))
        self.processes[place].send_signal(signal.SIGHUP)

    def start(self, place: int) -> None:
        compile_kernels()
        command = [*self.programs.get(place, [CAMPUSGRID]), "ledger", "run"]
        log = (self.directory(place) / "node.log").open("ab")
        self.processes[place] = subprocess.Popen(
            [*command, "--config", str(self.directory(place) / "node.toml"), "--exit-with-parent"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()

    def stop(self, place: int, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(place)
        process.send_signal(number)
        return process.wait(PATIENCE_S)

    def log(self, place: int) -> str:
        return (self.directory(place) / "node.log").read_text()

    async def logs(self, place: int, text: str, times: int = 1) -> None:
        """Wait until a node has logged a text, so many times."""

        async def has() -> bool:
            return self.log(place).count(text) >= times

        await until(has, f"{self.names[place]} logs {text!r}")

    def end(self) -> None:
        """Kill what still runs; print the end of each log, which pytest shows beside a failure."""
        for place in list(self.processes):
            self.stop(place, signal.SIGKILL)
        for name in self.names:
            log = self.root / "authorities" / name / "node.log"
            if log.exists():
                print(f"{name} said:\n{log.read_text(errors='replace')[-SHOWN:]}")

    def client(self, *places: int) -> LedgerClient:
        return LedgerClient([self.urls[place] for place in places or range(len(NAMES))])

    def account(self, client: LedgerClient, account: bytes = USER) -> AccountClient:
        return AccountClient(client, self.genesis.chain_id, account, account_key(account))

    async def ready(self, *places: int) -> None:
        """Wait until the nodes' APIs answer; one that ended instead is told of with what it logged last."""
        for place in places or range(len(NAMES)):
            async with self.client(place) as client:
                await until(partial(self._answers, place, client), f"{self.names[place]} answers", START_TIMEOUT_S)

    async def _answers(self, place: int, client: LedgerClient) -> bool:
        process = self.processes.get(place)
        assert process is None or process.poll() is None, f"{self.names[place]} ended: {self.log(place)[-2000:]}"
        return await answers(client)

    async def linked(self, *places: int) -> None:
        """Wait until each of the nodes hears all the others: before, a quorum may decide without one of them."""
        for place in places or range(len(NAMES)):
            async with self.client(place) as client:
                await until(partial(hears_all, client), f"{self.names[place]} hears the others", START_TIMEOUT_S)

    async def height(self, place: int) -> int:
        async with self.client(place) as client:
            return (await client.status()).height

    async def reach(self, height: int, *places: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the nodes have decided *height*."""
        for place in places or range(len(NAMES)):

            async def has(place: int = place) -> bool:
                return await self.height(place) >= height

            await until(has, f"{self.names[place]} reaches height {height}", timeout_s)

    async def state_roots(self, height: int, *places: int) -> set[bytes]:
        roots = set()
        for place in places or range(len(NAMES)):
            async with self.client(place) as client:
                roots.add((await client.block(height)).state_root)
        return roots


async def answers(client: LedgerClient) -> bool:
    with contextlib.suppress(ClientError):
        await client.status()
        return True
    return False


async def hears_all(client: LedgerClient) -> bool:
    others = [one for one in (await client.condition()).authorities if not one.is_self]
    return all(one.connected and one.report_age_ms is not None for one in others)


async def until(holds: Callable[[], Awaitable[bool]], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition, asked for 20 times a second, within a bound; a node too busy to answer is asked again."""
    deadline = time.monotonic() + timeout_s
    while True:
        fault = ""
        try:
            if await holds():
                return
        except ClientError as error:
            fault = f" ({error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}{fault}")
        await asyncio.sleep(0.05)


def account_key(account: bytes) -> keys.PrivateKey:
    return keys.PrivateKey(account * 4)


def make_network(
    root: Path,
    parameters: Parameters = PARAMETERS,
    names: tuple[str, ...] = NAMES,
    more_accounts: Iterable[GenesisAccount] = (),
    age_s: int = 10,
) -> Network:
    """Write keys, certificates, a genesis *age_s* old and settings of the authorities *names* under *root*."""
    seeds = {(name, use): os.urandom(32) for name in names for use in ("vote", "cosign", "log")}
    members = tuple(
        Authority(
            bytes([place + 1]) * 8,
            name,
            *(keys.PrivateKey(seeds[name, use]).public_key for use in ("vote", "cosign", "log")),
        )
        for place, name in enumerate(names)
    )
    accounts = (
        GenesisAccount(USER, account_key(USER).public_key, Role.USER, 10**24),
        GenesisAccount(OTHER, account_key(OTHER).public_key, Role.USER, 10**24),
        GenesisAccount(ADMIN, account_key(ADMIN).public_key, Role.ADMIN),
        GenesisAccount(GRID, account_key(GRID).public_key, Role.GRID, 10**24),
        *(GenesisAccount(one.id, account_key(one.id).public_key, Role.AUTHORITY) for one in members),
        *more_accounts,
    )
    rules = Genesis(
        "test",
        time.time_ns() // 10**6 - 1000 * age_s,
        os.urandom(32),
        AuthoritySet(members),
        parameters,
        GRID,
        accounts,
    )
    root.mkdir(parents=True, exist_ok=True)
    genesis.dump(rules, root / "genesis.json")
    ports = free_ports(2 * len(names))
    authority = CertificateAuthority.make(root / "ca.crt")
    for place, name in enumerate(names):
        directory = root / "authorities" / name
        directory.mkdir(parents=True)
        write_keys(directory, {use: seeds[name, use] for use in ("vote", "cosign", "log")})
        authority.issue(name, directory / "tls.crt", directory / "tls.key")
        (directory / "node.toml").write_text(node_toml(place, ports, names))
        memory.begin(directory / "data", rules.chain_id)
    return Network(root, rules, ports[: len(names)], ports[len(names) :], authority, list(names))


def write_keys(directory: Path, seeds: dict[str, bytes], prefix: str = "") -> None:
    for use, seed in seeds.items():
        (directory / f"{prefix}{use}.key").write_text(seed.hex() + "\n")


def node_toml(place: int, ports: list[int], names: tuple[str, ...] = NAMES) -> str:
    text = "peers = []" if len(names) == 1 else ""
    text += f"""
name = "{names[place]}"
genesis = "../../genesis.json"
data_dir = "data"
listen = "127.0.0.1:{ports[place]}"
[keys]
vote = "vote.key"
cosign = "cosign.key"
log = "log.key"
[tls]
ca = "../../ca.crt"
cert = "tls.crt"
key = "tls.key"
[api]
intervals = "anybody"
host = "127.0.0.1"
port = {ports[len(names) + place]}
"""
    for other, name in enumerate(names):
        if other != place:
            text += f'[[peers]]\nname = "{name}"\naddress = "127.0.0.1:{ports[other]}"\n'
    return text


@dataclass
class CertificateAuthority:
    """Signs the nodes' TLS certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, path: Path) -> CertificateAuthority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "campus CA")])
        certificate = _builder(name, name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(key, hashes.SHA256())  # fmt: skip
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate)

    def issue(self, common_name: str, certificate_path: Path, key_path: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = _builder(name, self.certificate.subject, key.public_key()).add_extension(
            address, critical=False
        ).sign(self.key, hashes.SHA256())  # fmt: skip
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
