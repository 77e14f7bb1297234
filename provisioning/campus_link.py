"""The campus' own line to its broker: messages to meters out, their readings and hints in."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from provisioning import files
from provisioning.broker import CAMPUS_USER
from provisioning.campus import LOGIN_NAME, Campus
from provisioning.errors import SendError

CONNECT_TIMEOUT_S: Final = 15.0
RECONNECT_S: Final = 1
MAX_WAITING: Final = 10_000
"""Messages of meters that nobody looked at yet; what comes beyond them is dropped, and asked for again."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a meter on its topic `kind`: "status" or "reading"."""

    meter_id: bytes
    kind: str
    payload: bytes


class CampusLink:
    """A session with the broker of *campus*, to hear the meters *meter_ids*; in a `with`. It reconnects by itself."""

    def __init__(self, campus: Campus, meter_ids: Iterable[bytes]) -> None:
        self._address = (campus.plan.host, campus.plan.ports.broker)
        self._topics = [(f"meter/{name.hex()}/{kind}", 1) for name in meter_ids for kind in ("status", "reading")]
        self._waiting: queue.Queue[Heard] = queue.Queue(MAX_WAITING)
        self._subscribed = threading.Event()
        self._refusal = "it does not answer"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(CAMPUS_USER, files.read_text(campus.folder / LOGIN_NAME).strip())
        self._client.tls_set(str(campus.folder / "ca.crt"), cert_reqs=ssl.CERT_REQUIRED)
        self._client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take

    def __enter__(self) -> Self:
        try:
            self._client.connect(*self._address)
        except OSError as error:
            raise self._unreachable(str(error)) from error
        self._client.loop_start()
        if not self._subscribed.wait(CONNECT_TIMEOUT_S):
            self.__exit__()
            raise self._unreachable(self._refusal)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, meter_id: bytes, message: bytes) -> None:
        """Publish *message* for one meter; a meter that is away does not get it."""
        self._client.publish(f"meter/{meter_id.hex()}/receipt", message, qos=1)

    def hear(self, limit_s: float) -> Heard | None:
        """Return the next message of a meter, or None after *limit_s* seconds without one."""
        try:
            return self._waiting.get(timeout=limit_s)
        except queue.Empty:
            return None

    def _unreachable(self, reason: str) -> SendError:
        host, port = self._address
        return SendError(f"no session with the broker at {host}:{port}: {reason}. See that it runs, then try again.")

    def _subscribe(self, client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._refusal = f"it refuses the campus' login ({code})"
        else:
            client.subscribe(self._topics)

    def _take(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        _, name, kind = message.topic.split("/")
        if not self._waiting.full():
            self._waiting.put(Heard(bytes.fromhex(name), kind, bytes(message.payload)))
