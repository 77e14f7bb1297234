"""A gateway in small: stores the readings that come in, checks their chain, and answers with receipts."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.intake.sequence import Chain, Link, advance
from ledger import cbor, envelope
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from ledger.reading import NO_PREVIOUS, Beacon, Reading, decode

CONNECT_LIMIT_S = 15


class Listener(Protocol):
    """A broker that runs."""

    @property
    def ca(self) -> Path:
        """The certificate of its CA."""

    @property
    def port(self) -> int:
        """Where it listens, on the loopback."""


def make_receipt(key: PrivateKey, meter_id: bytes, sequence: int, digest: bytes, beacon: Beacon | None = None) -> bytes:
    """Return a receipt envelope for the chain up to *sequence*."""
    fields = beacon and [
        beacon.height, beacon.block_time, beacon.block_id_head,
        beacon.anchor, beacon.anchor_time, beacon.anchor_hash_head,
    ]  # fmt: skip
    payload = [int(Kind.RECEIPT), meter_id, sequence, digest, [], fields, int(time.time())]
    return envelope.seal(cbor.encode(payload), key)


class Gateway:
    """Subscribes to one meter; `readings` by sequence, `forks` contradict them.

    While `answers` is off it stores but sends no receipt.
    """

    def __init__(
        self,
        broker: Listener,
        meter_id: bytes,
        key: PrivateKey,
        *,
        verify_name: bool = True,
        login: tuple[str, str] = ("meter", "secret"),
    ) -> None:
        self.readings: dict[int, Reading] = {}
        self.deliveries: Counter[int] = Counter()
        self.forks = 0
        self.answers = True
        self.beacon: Beacon | None = None
        self._meter_id = meter_id
        self._key = key
        self._connected = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gateway", clean_session=False)
        self._client.username_pw_set(*login)
        self._client.tls_set(str(broker.ca), cert_reqs=ssl.CERT_REQUIRED)
        self._client.tls_insecure_set(not verify_name)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._port = broker.port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._connected.wait(CONNECT_LIMIT_S), "the gateway cannot reach the broker"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def listen(self, topic: str, hear: Callable[[bytes], None]) -> None:
        """Call *hear* with each message on *topic*."""
        self._client.message_callback_add(topic, lambda _client, _data, message: hear(bytes(message.payload)))
        self._client.subscribe(topic, qos=1)

    def send(self, message: bytes) -> None:
        """Publish *message* on the meter's receipt topic."""
        self._client.publish(f"meter/{self._meter_id.hex()}/receipt", message, qos=1)

    def receipt(self) -> bytes | None:
        """Return the receipt for the chain as far as it is complete, or None where its beginning is missing."""
        taken = [reading for _, reading in sorted(self.readings.items())]
        links = [Link(reading.sequence, reading.hash, reading.previous) for reading in taken]
        runs = sorted((reading.thinned for reading in taken if reading.thinned), key=lambda run: run.first)
        head = self.readings.get(advance(Chain(), links, (), runs).head)
        if head is None:
            return None
        return make_receipt(self._key, self._meter_id, head.sequence, head.hash, self.beacon)

    def chain_breaks(self) -> list[int]:
        """Return the sequence numbers whose `previous` is not the hash head of the reading stored before them."""
        breaks = []
        previous = NO_PREVIOUS
        for _, reading in sorted(self.readings.items()):
            if reading.previous != previous:
                breaks.append(reading.sequence)
            previous = reading.hash[:8]
        return breaks

    def _subscribe(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(f"meter/{self._meter_id.hex()}/reading", qos=1)
        self._connected.set()

    def _take(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        reading = decode(bytes(message.payload))
        known = self.readings.setdefault(reading.sequence, reading)
        self.forks += known.raw != reading.raw
        self.deliveries[reading.sequence] += 1
        receipt = self.receipt() if self.answers else None
        if receipt:
            self.send(receipt)
