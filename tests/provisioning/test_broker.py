"""The broker's configuration, enforced by a real mosquitto: TLS, passwords, and a topic of one's own."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Self

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from provisioning import layout
from provisioning.broker import CAMPUS_USER, GATEWAY_USER, MAX_PACKET_BYTES
from provisioning.campus import LOGIN_NAME, Campus
from tests.provisioning.plans import small_plan

BOUND_S = 50.0
QUIET_S = 0.3
REFUSED = "Not authorized"


@dataclass(frozen=True, slots=True)
class Broker:
    """The campus of a running broker."""

    campus: Campus

    def password(self, meter: int) -> str:
        config = json.loads(self.campus.meters[meter].config(self.campus.folder).read_text())
        return str(config["broker"]["password"])

    def name(self, meter: int) -> str:
        return self.campus.meters[meter].meter_id.hex()

    @property
    def gateway_password(self) -> str:
        return (self.campus.folder / "gateway" / "broker.password").read_text().strip()


@pytest.fixture
def broker(tmp_path: Path, mosquitto: Path, mosquitto_passwd: Path) -> Iterator[Broker]:
    campus = layout.lay_out(tmp_path / "campus", small_plan(), mosquitto_passwd)
    with (tmp_path / "log").open("wb") as log:
        command = [str(mosquitto), "-c", str(campus.folder / "broker" / "mosquitto.conf")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + BOUND_S
        while b"running" not in (tmp_path / "log").read_bytes():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Broker(campus)
    finally:
        process.terminate()
        process.wait(BOUND_S)


class Client:
    """An MQTT client that notes what happens to it."""

    def __init__(
        self,
        broker: Broker,
        user: str | None,
        password: str | None,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self.connected: Queue[str] = Queue()
        self.published: Queue[str] = Queue()
        self.granted: Queue[list[str]] = Queue()
        self.messages: Queue[tuple[str, bytes]] = Queue()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.mqtt.tls_set(ca_certs=str(broker.campus.folder / "ca.crt"))
        if user is not None:
            self.mqtt.username_pw_set(user, password)
        self.mqtt.on_connect = lambda *event: self.connected.put(str(event[3]))
        self.mqtt.on_publish = lambda *event: self.published.put(str(event[3]))
        self.mqtt.on_subscribe = lambda *event: self.granted.put([str(code) for code in event[3]])
        self.mqtt.on_message = lambda *event: self.messages.put((event[2].topic, event[2].payload))
        self.mqtt.connect("127.0.0.1", broker.campus.plan.ports.broker)
        self.mqtt.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def publish(self, topic: str, payload: bytes = b"reading") -> str:
        self.mqtt.publish(topic, payload, qos=1)
        return self.published.get(timeout=BOUND_S)

    def subscribe(self, topic: str) -> list[str]:
        self.mqtt.subscribe(topic, qos=1)
        return self.granted.get(timeout=BOUND_S)


def meter(broker: Broker, place: int) -> Client:
    client = Client(broker, broker.name(place), broker.password(place))
    assert client.connected.get(timeout=BOUND_S) == "Success"
    return client


def gateway(broker: Broker) -> Client:
    client = Client(broker, GATEWAY_USER, broker.gateway_password)
    assert client.connected.get(timeout=BOUND_S) == "Success"
    return client


def test_a_meter_publishes_its_own_readings_and_nobody_elses(broker: Broker) -> None:
    own, other = broker.name(0), broker.name(1)
    with gateway(broker) as reader, meter(broker, 0) as sender:
        reader.subscribe("meter/+/reading")
        assert sender.publish(f"meter/{other}/reading", b"forged") == REFUSED
        assert sender.publish(f"meter/{own}/receipt", b"forged") == REFUSED
        assert sender.publish(f"meter/{other}/receipt", b"forged") == REFUSED
        assert sender.publish("anything/else", b"forged") == REFUSED
        assert sender.publish(f"meter/{other}/status", b"forged") == REFUSED
        reader.subscribe(f"meter/{own}/status")
        assert sender.publish(f"meter/{own}/status", b"safe no meter") == "Success"
        assert reader.messages.get(timeout=BOUND_S) == (f"meter/{own}/status", b"safe no meter")
        assert sender.publish(f"meter/{own}/reading", b"true") == "Success"
        assert reader.messages.get(timeout=BOUND_S) == (f"meter/{own}/reading", b"true")
        with pytest.raises(Empty):
            reader.messages.get(timeout=QUIET_S)


def test_a_meter_reads_its_own_receipts_and_nothing_else(broker: Broker) -> None:
    own, other = broker.name(0), broker.name(1)
    with gateway(broker) as sender, meter(broker, 0) as reader:
        for topic in (f"meter/{own}/receipt", f"meter/{other}/receipt", "meter/+/receipt", "meter/+/reading", "#"):
            reader.subscribe(topic)
        sender.publish(f"meter/{other}/receipt", b"not yours")
        with meter(broker, 1) as neighbour:
            neighbour.publish(f"meter/{other}/reading", b"not yours")
        sender.publish(f"meter/{own}/receipt", b"yours")
        received = {reader.messages.get(timeout=BOUND_S)}
        while True:  # one message may come once for each subscription that it fits
            try:
                received.add(reader.messages.get(timeout=QUIET_S))
            except Empty:
                break
        assert received == {(f"meter/{own}/receipt", b"yours")}


def test_the_campus_writes_to_meters_and_hears_them_but_pretends_to_be_none(broker: Broker) -> None:
    password = (broker.campus.folder / LOGIN_NAME).read_text().strip()
    own = broker.name(0)
    with Client(broker, CAMPUS_USER, password) as sender, meter(broker, 0) as reader:
        assert sender.connected.get(timeout=BOUND_S) == "Success"
        reader.subscribe(f"meter/{own}/receipt")
        assert sender.publish(f"meter/{own}/receipt", b"update") == "Success"
        assert reader.messages.get(timeout=BOUND_S) == (f"meter/{own}/receipt", b"update")
        for kind in ("reading", "status"):
            assert sender.publish(f"meter/{own}/{kind}", b"forged") == REFUSED
            sender.subscribe(f"meter/{own}/{kind}")
            reader.publish(f"meter/{own}/{kind}", kind.encode())
            assert sender.messages.get(timeout=BOUND_S) == (f"meter/{own}/{kind}", kind.encode())


def test_the_gateway_cannot_pretend_to_be_a_meter(broker: Broker) -> None:
    with gateway(broker) as sender:
        assert sender.publish(f"meter/{broker.name(0)}/reading", b"forged") == REFUSED


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_nobody_comes_in_without_the_right_password(broker: Broker, protocol: MQTTProtocolVersion) -> None:
    for user, password in [(None, None), (broker.name(0), "guess"), (broker.name(0), broker.password(1)), ("x", "y")]:
        with Client(broker, user, password, protocol) as client:
            assert client.connected.get(timeout=BOUND_S) == REFUSED


def test_nothing_is_spoken_without_tls_or_under_another_authority(broker: Broker, tmp_path: Path) -> None:
    plain = mqtt.Client(CallbackAPIVersion.VERSION2)
    plain.username_pw_set(broker.name(0), broker.password(0))
    answered: Queue[str] = Queue()
    plain.on_connect = lambda *event: answered.put(str(event[3]))
    plain.on_disconnect = lambda *event: answered.put("cut off")
    plain.connect("127.0.0.1", broker.campus.plan.ports.broker)
    plain.loop_start()
    assert answered.get(timeout=BOUND_S) == "cut off"
    plain.loop_stop()
    stranger = mqtt.Client(CallbackAPIVersion.VERSION2)
    stranger.tls_set()  # the system's own authorities
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.connect("127.0.0.1", broker.campus.plan.ports.broker)


def test_an_oversized_message_does_not_reach_the_gateway(broker: Broker) -> None:
    topic = f"meter/{broker.name(0)}/reading"
    with gateway(broker) as reader:
        reader.subscribe("meter/+/reading")
        with meter(broker, 0) as sender:
            sender.mqtt.publish(topic, bytes(MAX_PACKET_BYTES + 1), qos=1)
            with pytest.raises(Empty):
                reader.messages.get(timeout=QUIET_S)
        with meter(broker, 1) as sender:
            sender.publish(f"meter/{broker.name(1)}/reading", b"small")
            assert reader.messages.get(timeout=BOUND_S) == (f"meter/{broker.name(1)}/reading", b"small")
