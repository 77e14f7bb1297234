"""The gateway's line to the broker: paho-mqtt driven by the asyncio loop, with acknowledgements by hand.

paho speaks the protocol. Only publications, which come by the thousand, are taken out of the stream before paho reads
it (`publications.py`), and what paho sends at one time leaves as one TLS record (`tls_socket.py`): else the line costs
more than all else but the signatures.

mosquitto hands out a whole new window for every acknowledgement and ignores Receive Maximum, so the bound on what is
in flight is kept here: when it is reached the socket is read no further, and TCP holds the broker back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from gateway.errors import SettingsError
from gateway.intake.pipeline import Message
from gateway.intake.publications import Publication, PublicationFilter
from gateway.intake.tls_socket import BufferedTlsSocket
from gateway.settings import BrokerSettings

MAX_IN_FLIGHT: Final = 4000
"""Messages taken from the broker and not acknowledged yet; at this number the socket is read no further."""
MAX_OUTGOING: Final = 20_000
"""Receipts that wait for the broker; beyond it a receipt is dropped, and its meter asks again by resending."""
MAX_RECORDS_PER_WAKE: Final = 256
KEEPALIVE_S: Final = 30
CONNECT_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 0.5
RETRY_LIMIT_S: Final = 15.0
TICK_S: Final = 1.0
READING_TOPICS: Final = "meter/+/reading"
STATUS_TOPICS: Final = "meter/+/status"
_STATUS_SUFFIX: Final = "/status"
log = structlog.get_logger()


def make_tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Return a context that trusts the campus's certificate authority alone; raises SettingsError."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
    except OSError as error:
        raise SettingsError(f"{settings.ca}: is no usable certificate (broker.ca): {error}") from error
    context.sslsocket_class = BufferedTlsSocket
    return context


class BrokerLink:
    """A session with the broker that outlives connections. Use `run` as a task; `take` feeds the pipeline.

    Hints on status topics go to *on_status* at once, and are acknowledged: nobody waits for them.
    """

    def __init__(self, settings: BrokerSettings, on_status: Callable[[str, bytes], None] | None = None) -> None:
        self._settings = settings
        self._on_status = on_status
        self._messages: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._unacknowledged = 0
        self._connection = 0
        self._filter = PublicationFilter()
        self._socket: BufferedTlsSocket | None = None
        self._is_reading = False
        self._is_stopping = False
        self._retry_s = RETRY_FIRST_S
        self._lost = asyncio.Event()
        self._written = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()
        self.is_connected = False
        self.dropped_receipts = 0

    @property
    def in_flight(self) -> int:
        """Messages received on this connection and not acknowledged yet."""
        return self._unacknowledged

    async def run(self) -> None:
        """Keep connected until `stop`, then say goodbye; an unreachable broker is tried again, with a log line."""
        while not self._is_stopping:
            try:
                await self._connect()
                await self._serve()
            except OSError as error:
                log.warning(
                    "broker unreachable", host=self._settings.host, port=self._settings.port, cause=str(error),
                    retry_s=self._retry_s,
                )  # fmt: skip
                await self._back_off()
            finally:
                self._detach()
        self._client.disconnect()
        self._client.loop_write()  # closes the socket as well, which sends what is left

    async def take(self, limit: int) -> list[Message]:
        """Wait for messages and return up to *limit*; an empty list once the link is stopped and drained."""
        while not self._messages:
            if self._is_stopping:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send PUBACK for those *messages* that came on the present connection; the broker resends the others."""
        for message in messages:
            if message.connection == self._connection:
                self._unacknowledged -= 1
                if message.mid:  # 0: sent with QoS 0; mosquitto hangs up on an acknowledgement of that
                    self._client.ack(message.mid, 1)
        if self._socket and not self._is_stopping and self._unacknowledged <= MAX_IN_FLIGHT // 2:
            self._resume_reading()

    def publish(self, topic: str, payload: bytes) -> None:
        """Send *payload* with QoS 1; while the broker is away it waits, up to `MAX_OUTGOING`."""
        if self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            self.dropped_receipts += 1

    def stop_reading(self) -> None:
        """Take nothing more from the broker; `take` hands out what is here, then ends."""
        self._is_stopping = True
        self._pause_reading()
        self._arrived.set()

    async def stop(self) -> None:
        """Send what is written and let `run` say goodbye and end."""
        if self.is_connected and self._wants_to_write():
            with contextlib.suppress(TimeoutError):  # the broker does not read: what is lost will be asked for again
                async with asyncio.timeout(TICK_S):
                    await self._written.wait()
        self._is_stopping = True
        self._lost.set()

    def _make_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2, settings.client_id, clean_session=False, manual_ack=True,
            reconnect_on_failure=False,
        )  # fmt: skip
        client.tls_set_context(make_tls_context(settings))
        client.username_pw_set(settings.user, settings.read_password())
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MAX_OUTGOING)
        client.max_queued_messages_set(MAX_OUTGOING)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = lambda *_: self._lost.set()
        client.on_socket_close = lambda *_: self._detach()
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    async def _connect(self) -> None:
        self._lost.clear()
        self._connection += 1
        self._unacknowledged = 0
        self._messages.clear()
        self._filter = PublicationFilter()
        settings = self._settings
        await asyncio.to_thread(self._client.connect, settings.host, settings.port, KEEPALIVE_S)
        self._socket = cast("BufferedTlsSocket | None", self._client.socket())
        if self._socket is None:
            raise ConnectionError("the broker closed the connection at once")
        self._resume_reading()
        self._start_writing()

    async def _serve(self) -> None:
        """Look after the open connection until it is lost; raises OSError when it is."""
        while not self._lost.is_set():
            await self._pause(TICK_S)
            if self._is_reading:
                self._client.loop_misc()
        if not self._is_stopping:
            raise ConnectionError("the connection was lost, or the broker refused user and password")

    async def _back_off(self) -> None:
        """Wait before the next attempt, longer each time until one succeeds; `stop` ends the wait."""
        if not self._is_stopping:
            self._lost.clear()
            await self._pause(self._retry_s)
            self._retry_s = min(2 * self._retry_s, RETRY_LIMIT_S)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._lost.wait()
        except TimeoutError:
            return

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.error("broker refuses the gateway", reason=str(reason), next_step="check broker.user and its password")
            self._lost.set()
            return
        topics = [READING_TOPICS, *([STATUS_TOPICS] if self._on_status else [])]
        client.subscribe([(topic, 1) for topic in topics])

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        readings, *others = reasons
        if any(reason.is_failure for reason in others):
            log.warning("no hints of meters: the broker refuses the topic", topic=STATUS_TOPICS)
        if readings.is_failure:
            log.error(
                "broker refuses the subscription", topic=READING_TOPICS, next_step="check the broker's access list"
            )
            return
        self.is_connected = True
        self._retry_s = RETRY_FIRST_S
        log.info("broker connected", host=self._settings.host, port=self._settings.port)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._hear(Publication(message._topic, bytes(message.payload), message.mid))  # noqa: SLF001 - `topic` may raise

    def _hear(self, publication: Publication) -> None:
        try:
            topic = publication.topic.decode()
        except UnicodeDecodeError:
            topic = repr(publication.topic)
        if self._on_status is not None and topic.endswith(_STATUS_SUFFIX):
            self._on_status(topic, publication.payload)
            self._loop.call_soon(self._acknowledge_hint, publication.mid, self._connection)
            return
        self._messages.append(Message(topic, publication.payload, publication.mid, self._connection))
        self._unacknowledged += 1
        self._arrived.set()
        if self._unacknowledged >= MAX_IN_FLIGHT:
            self._pause_reading()

    def _acknowledge_hint(self, mid: int, connection: int) -> None:
        if mid and connection == self._connection and self._socket is not None:
            self._client.ack(mid, 1)

    def _read(self) -> None:
        """Read what the socket has, in bounded turns; TLS may hold decrypted bytes that no longer wake the loop."""
        for _ in range(MAX_RECORDS_PER_WAKE):
            if not self._is_reading or self._socket is None:
                return
            try:
                data = self._socket.receive()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self._lost.set()
                return
            self._sort(data)
        self._loop.call_soon(self._read)

    def _sort(self, data: bytes) -> None:
        """Hear the publications in *data*, and let paho read the rest; b"" tells it that the broker hung up."""
        publications, rest = self._filter.take(data)
        for publication in publications:
            self._hear(publication)
        if self._socket is not None:
            self._socket.give(rest)
        while self._socket is not None and self._socket.has_given:
            if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._lost.set()
                return

    def _resume_reading(self) -> None:
        if self._socket is not None and not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._socket, self._read)
            self._loop.call_soon(self._read)

    def _pause_reading(self) -> None:
        if self._socket is not None and self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket)

    def _on_register_write(self, *_: Any) -> None:
        # paho calls from the thread that connects as well
        self._loop.call_soon_threadsafe(self._start_writing)

    def _on_unregister_write(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._stop_writing)

    def _start_writing(self) -> None:
        if self._socket is not None and self._wants_to_write():
            self._written.clear()
            self._loop.add_writer(self._socket, self._write)

    def _write(self) -> None:
        """Hand the socket all packets that wait, and send them together."""
        self._client.loop_write()
        try:
            if self._socket is not None:
                self._socket.flush()
        except OSError:
            self._lost.set()
        else:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._wants_to_write():
            return
        self._written.set()
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _wants_to_write(self) -> bool:
        return self._client.want_write() or (self._socket is not None and self._socket.has_unsent)

    def _detach(self) -> None:
        """Forget the socket, before paho closes it and its number is given to another file."""
        self.is_connected = False
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None
            self._is_reading = False
