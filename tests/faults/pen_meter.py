"""A meter in Python that keeps each reading until it holds the receipt, as the firmware does, but signs faster."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ledger import reading
from tests.gateway.plant import EPOCH_S, Pen, open_receipt

PERIOD_S = 0.05
RESEND_S = 1.5
MOST_AT_ONCE = 200
READINGS_PER_WH = 20
"""So that the energy stays below the meter's rated power."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the broker is, and how the meter logs in; `receipt_key` is the gateway's public key."""

    port: int
    ca: Path
    password: str
    receipt_key: bytes


class PenMeter:
    """Signs while it is entered and not `paused`; `signed` is all that it ever signed, `complaints` what was wrong."""

    def __init__(self, pen: Pen, credentials: Credentials) -> None:
        self.pen = pen
        self.signed: list[bytes] = []
        self.complaints: list[str] = []
        self.paused = threading.Event()
        self._credentials = credentials
        self._sent: dict[int, float] = {}
        self._receipted = 0
        self._epoch = int(time.time()) // EPOCH_S
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._client = self._make_client()

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._client.connect("127.0.0.1", self._credentials.port, 10)
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def receipted(self) -> int:
        """Up to which number the gateway has signed for the readings."""
        return self._receipted

    def _make_client(self) -> Client:
        name = self.pen.meter_id.hex()
        client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        client.tls_set_context(ssl.create_default_context(cafile=str(self._credentials.ca)))
        client.username_pw_set(name, self._credentials.password)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda client, *_: self._subscribe(client)
        client.on_message = lambda _client, _data, message: self._hear(bytes(message.payload))
        return client

    def _subscribe(self, client: Client) -> None:
        client.subscribe(f"meter/{self.pen.meter_id.hex()}/receipt", 1)

    def _work(self) -> None:
        while not self._ended.wait(PERIOD_S):
            with self._lock:
                if not self.paused.is_set():
                    self.signed.append(self._sign())
                due = self._find_due(time.monotonic()) if self._client.is_connected() else []
            for number in due:
                self._client.publish(self.pen.topic, self.signed[number - 1], qos=1)

    def _sign(self) -> bytes:
        now, import_wh = int(time.time()), 1000 + len(self.signed) // READINGS_PER_WH
        if now // EPOCH_S > self._epoch:
            self._epoch = now // EPOCH_S
            return self.pen.sign(epoch=self._epoch, r180=import_wh)
        return self.pen.sign(time_=now, r180=import_wh)

    def _find_due(self, now: float) -> list[int]:
        waiting = range(self._receipted + 1, len(self.signed) + 1)
        due = [number for number in waiting if now - self._sent.get(number, 0.0) > RESEND_S][:MOST_AT_ONCE]
        self._sent |= dict.fromkeys(due, now)
        return due

    def _hear(self, raw: bytes) -> None:
        fields: list[Any] = open_receipt(raw, self._credentials.receipt_key)
        with self._lock:
            number, digest = fields[1], fields[2]
            if number > len(self.signed) or reading.decode(self.signed[number - 1]).hash != digest:
                self.complaints.append(f"a receipt for number {number} that is not of this meter's chain")
            self._receipted = max(self._receipted, number)
