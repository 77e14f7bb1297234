"""A small campus for the gateway's tests: broker, meters in Python, gateway processes; it ends what it starts."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from hil.ports import free_port
from ledger import envelope, genesis, reading
from ledger.authority import Authority, AuthoritySet
from ledger.genesis import Genesis
from ledger.keys import PrivateKey
from ledger.reading import Beacon, ClockQuality, Reading, Reason, Status
from provisioning import broker, certificates
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd

EPOCH_S = 5
BOUND_S = 50.0
"""Patience, not a promise: so long a test waits on a machine that is busy with other tests, too."""
SHOWN = 5_000
"""Of a log, beside a failure."""
T = TypeVar("T")
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], T], what: str, bound_s: float = BOUND_S) -> T:
    """Return the first true value of *condition*; fails with *what* after *bound_s*."""
    deadline = time.monotonic() + bound_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {bound_s} s in vain for {what}"
        time.sleep(0.02)
    return value


@dataclass(slots=True)
class Pen:
    """A meter that signs readings in Python: the hash chain of one key."""

    key: PrivateKey = field(default_factory=lambda: PrivateKey(secrets.token_bytes(32)))
    meter_id: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    sequence: int = 0
    previous: bytes = bytes(8)
    time: int = 1_800_000_000 // EPOCH_S * EPOCH_S

    @property
    def topic(self) -> str:
        return f"meter/{self.meter_id.hex()}/reading"

    def sign(self, *, skip: int = 0, epoch: int | None = None, time_: int | None = None, **registers: int) -> bytes:
        """Return the next reading, a boundary reading if *epoch* is given, after leaving out *skip* numbers."""
        self.sequence += 1 + skip
        self.time += 1
        taken_at = time_ if time_ is not None else self.time if epoch is None else epoch * EPOCH_S
        values = {180: 1000 + self.sequence, 280: 0}
        if epoch is None:
            values[1670] = 42
        values |= {int(name.removeprefix("r")): value for name, value in registers.items()}
        content = Reading(
            self.sequence, taken_at, ClockQuality.SYNCED, 3,
            Beacon(1, 2, bytes(8), 0, 0, bytes(8)) if epoch is not None else None,
            Reason.PERIODIC if epoch is None else Reason.BOUNDARY, epoch, tuple(sorted(values.items())),
            Status(0), self.previous, b"", b"",
        )  # fmt: skip
        raw = envelope.seal(reading.encode_payload(content), self.key)
        self.previous = reading.decode(raw).hash[:8]
        return raw

    def copy(self) -> Pen:
        """Return a second pen with the same key and past: what a restored flash makes of a meter."""
        return Pen(self.key, self.meter_id, self.sequence, self.previous, self.time)


class Broker:
    """A real mosquitto with TLS, passwords and the product's own access list."""

    def __init__(self, folder: Path, users: list[str]) -> None:
        self.folder = folder
        self.port = free_port()
        authority = certificates.make_authority("test")
        server = certificates.issue(authority, "broker", ("127.0.0.1",))
        (folder / "ca.crt").write_bytes(authority.certificate_pem)
        (folder / "server.crt").write_bytes(server.certificate_pem)
        (folder / "server.key").write_bytes(server.key_pem)
        self.password = "correct horse"
        passwords = dict.fromkeys(["gateway", *users], self.password)
        broker.lay_out(folder, "127.0.0.1", self.port, passwords, find_mosquitto_passwd())
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [find_mosquitto(), "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        log.close()
        wait_for(self._answers, "mosquitto to listen")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(BOUND_S)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Line:
    """A meter's (or an intruder's) MQTT connection: publishes with QoS 1 and collects receipts."""

    def __init__(self, plant_broker: Broker, user: str) -> None:
        self.receipts: queue.Queue[bytes] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, user, clean_session=False)
        self._client.tls_set_context(ssl.create_default_context(cafile=str(plant_broker.folder / "ca.crt")))
        self._client.username_pw_set(user, plant_broker.password)
        self._client.max_inflight_messages_set(200)
        self._client.on_message = lambda _client, _data, message: self.receipts.put(bytes(message.payload))
        subscribed: queue.Queue[bool] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.connect("127.0.0.1", plant_broker.port)
        self._client.loop_start()
        self._client.subscribe(f"meter/{user}/receipt", 1)
        subscribed.get(timeout=BOUND_S)

    def send(self, topic: str, *payloads: bytes, qos: int = 1) -> None:
        """Publish *payloads* and return when the broker has acknowledged all."""
        self.send_each([(topic, payload) for payload in payloads], qos)

    def send_each(self, messages: Sequence[tuple[str, bytes]], qos: int = 1) -> None:
        """Publish all (topic, payload) and return when the broker has acknowledged all."""
        for sent in [self._client.publish(topic, payload, qos=qos) for topic, payload in messages]:
            sent.wait_for_publish(BOUND_S)
            assert sent.is_published()

    def newest_receipt(self, up_to: int, key: bytes) -> list[Any]:
        """Return the fields of the first receipt for number *up_to* or more; each must be signed by *key*."""
        deadline = time.monotonic() + BOUND_S
        while True:
            fields = open_receipt(self.receipts.get(timeout=max(0.01, deadline - time.monotonic())), key)
            if fields[1] >= up_to:
                return fields

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def open_receipt(raw: bytes, public_key: bytes) -> list[Any]:
    """Return [meter id, N, hash, refused, beacon, time] of a receipt whose signature is *public_key*'s."""
    signed = envelope.parse(raw)
    assert signed.is_signed_by(public_key)
    return envelope.fields(signed.payload, envelope.Kind.RECEIPT, 6)


class GatewayProcess:
    """`campusgrid gateway run` as a process of its own; its log's end is what pytest shows when a test fails."""

    def __init__(
        self,
        config: Path,
        *,
        kill_at: str | None = None,
        within: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        module = ["gateway.cli", "gateway", "run"] if kill_at is None else ["tests.gateway.killed_gateway", kill_at]
        if kill_at is None:
            program = [sys.executable, "-c", "from gateway.cli import main; main()", "gateway", "run"]
        else:
            program = [sys.executable, "-m", *module]
        self._log = (config.parent / "log").open("ab")
        self.process = subprocess.Popen(
            [*within, *program, "--config", str(config)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=subprocess.STDOUT, env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(more or {}),
        )  # fmt: skip

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(BOUND_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._log.close()


@dataclass(frozen=True, slots=True)
class Holder:
    """A ledger account and its key."""

    id: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    key: PrivateKey = field(default_factory=lambda: PrivateKey(secrets.token_bytes(32)))


class Plant:
    """Broker, meters, roster, genesis and gateway.toml in one folder."""

    def __init__(
        self,
        folder: Path,
        meters: int,
        gateway: Holder | None = None,
        chain: Genesis | None = None,
        url: str = "",
        login: str = "none",
    ) -> None:
        self.folder = folder
        self.gateway = gateway or Holder()
        self.ledger_url = url or f"http://127.0.0.1:{free_port()}"
        self.pens = [Pen() for _ in range(meters)]
        self.stranger = "intruder"
        broker_folder = folder / "broker"
        broker_folder.mkdir(parents=True)
        self.broker = Broker(broker_folder, [*(pen.meter_id.hex() for pen in self.pens), self.stranger])
        self.receipt_key = PrivateKey(secrets.token_bytes(32))
        self.api_port = free_port()
        self.store = folder / "gateway" / "data" / "gateway.sqlite"
        self.config = folder / "gateway" / "gateway.toml"
        self._running: list[GatewayProcess] = []
        self._lines: dict[str, Line] = {}
        self._write(chain or make_genesis(self.gateway), login)

    def start(
        self, *, kill_at: str | None = None, await_broker: bool = True, within: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> GatewayProcess:  # fmt: skip
        """Start the gateway process and, by default, wait until it has its session with the broker.

        *within* is a command that starts the rest of its arguments, *more* what its environment has besides ours.
        """
        before = self.gateway_log().count("broker connected")
        process = GatewayProcess(self.config, kill_at=kill_at, within=within, more=more)
        self._running.append(process)
        if await_broker:
            wait_for(lambda: self._is_connected(process, before), "the gateway to connect to the broker")
        return process

    @property
    def newest(self) -> subprocess.Popen[bytes]:
        """The gateway process that was started last."""
        return self._running[-1].process

    def kill_all(self) -> None:
        """Kill -9 every gateway process that still runs."""
        for process in self._running:
            if process.process.poll() is None:
                process.kill()

    def gateway_log(self) -> str:
        """Return what the gateway processes have printed so far."""
        path = self.config.parent / "log"
        return path.read_text() if path.exists() else ""

    def _is_connected(self, process: GatewayProcess, before: int) -> bool:
        assert process.process.poll() is None, self.gateway_log()
        return self.gateway_log().count("broker connected") > before

    def line(self, user: str) -> Line:
        """Return a connection of broker user *user*; the one before it ends, as two would cut each other off."""
        if user in self._lines:
            self._lines[user].close()
        self._lines[user] = Line(self.broker, user)
        return self._lines[user]

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what the gateway's database answers, which another process may be writing."""
        if not self.store.exists():
            return []
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=BOUND_S)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return []  # not made yet
        finally:
            connection.close()

    def stored(self) -> int:
        """Return how many readings are committed."""
        return sum(count for (count,) in self.rows("SELECT count(*) FROM readings"))

    def close(self) -> None:
        for line in self._lines.values():
            line.close()
        self.kill_all()
        self.broker.stop()

    def _write(self, chain: Genesis, login: str) -> None:
        folder = self.config.parent
        folder.mkdir()
        entries = [
            {
                "meter_id": pen.meter_id.hex(), "public_key": pen.key.public_key.hex(), "profile": "eastron_sdm120",
                "rated_power_w": 10_000, "can_export": True, "account": account(number).hex(),
                "label": f"Room {number}",
            }
            for number, pen in enumerate(self.pens, start=1)
        ]  # fmt: skip
        (self.folder / "roster.json").write_text(json.dumps({"meters": entries, "users": []}))
        genesis.dump(chain, self.folder / "genesis.json")
        (folder / "receipt.key").write_text(self.receipt_key.seed.hex() + "\n")
        (folder / "account.key").write_text(self.gateway.key.seed.hex() + "\n")
        self.config.write_text(
            f"""
roster = "../roster.json"
store = "data/gateway.sqlite"
receipt_key = "receipt.key"
epoch_s = {EPOCH_S}
[broker]
host = "127.0.0.1"
port = {self.broker.port}
ca = "../broker/ca.crt"
password = "{self.broker.password}"
[ledger]
urls = ["{self.ledger_url}"]
genesis = "../genesis.json"
account = "{self.gateway.id.hex()}"
key = "account.key"
[api]
port = {self.api_port}
login = "{login}"
"""
        )


def make_genesis(gateway: Holder) -> Genesis:
    """Return a genesis with four authorities and one gateway account."""
    members = [
        Authority(number.to_bytes(8), f"A{number}", *(PrivateKey(secrets.token_bytes(32)).public_key for _ in range(3)))
        for number in range(1, 5)
    ]
    grid = Holder()
    return Genesis(
        "test", 1_800_000_000_000, secrets.token_bytes(32), AuthoritySet(tuple(members)),
        genesis.Parameters(epoch_s=EPOCH_S), grid.id,
        (
            genesis.GenesisAccount(grid.id, grid.key.public_key, genesis.Role.GRID),
            genesis.GenesisAccount(gateway.id, gateway.key.public_key, genesis.Role.GATEWAY),
        ),
    )  # fmt: skip


def account(number: int) -> bytes:
    """Return the account that owns meter *number*, counted from 1."""
    return number.to_bytes(8)


@contextlib.contextmanager
def ended(plant: Plant) -> Iterator[Plant]:
    """Yield *plant* and end everything that it started."""
    try:
        yield plant
    finally:
        plant.close()
        show(plant.config.parent / "log", "the gateway")


def show(log: Path, whose: str) -> None:
    """Print the end of a log, which pytest shows beside a failure."""
    if log.exists():
        print(f"{whose} said:\n{log.read_text(errors='replace')[-SHOWN:]}")
