"""The doctor's checks of broker and ledger: whether they answer, and whether they keep to what the campus laid down."""

from __future__ import annotations

import queue
import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from cryptography import x509
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pydantic import TypeAdapter, ValidationError

from gateway.errors import GatewayError
from gateway.ops.finding import Finding, Severity
from gateway.settings import BrokerSettings
from ledger.api.resources import NodeStatus
from ledger.genesis import Genesis

CONNECT_TIMEOUT_S: Final = 3.0
EXPIRY_WARNING_DAYS: Final = 30
BLOCKS_BEHIND: Final = 20
SILENT_HEARTBEATS: Final = 5
NO_METER: Final = "meter/0000000000000000"
_NOT_AUTHORISED: Final = 0x87
_MEND_RIGHTS: Final = "put the broker folder of the campus directory in its place again; systemctl restart mosquitto"
_MEND_CERTIFICATE: Final = (
    "issue a new one (provisioning/README.md, A certificate ends), put it in its place, restart what uses it"
)


def check_broker(settings: BrokerSettings) -> Iterator[Finding]:
    """Yield whether the broker answers, with a certificate that holds for long enough, and keeps to its access list."""
    where = f"{settings.host}:{settings.port}"
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
        authorities = x509.load_pem_x509_certificates(settings.ca.read_bytes())
        with (
            socket.create_connection((settings.host, settings.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as secure,
        ):
            certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError) as error:
        text = f"{where} does not answer: {error}"
        is_untrusted = isinstance(error, ssl.SSLCertVerificationError)
        mend = _MEND_CERTIFICATE if is_untrusted else "systemctl restart mosquitto; journalctl -u mosquitto"
        yield Finding("broker", Severity.FAULT, text, mend)
        return
    yield Finding("broker", Severity.WELL, f"{where} answers")
    yield judge_expiry(f"of the broker at {where}", [certificate], _MEND_CERTIFICATE)
    yield judge_expiry(f"of the campus ({settings.ca})", authorities, _MEND_CERTIFICATE)
    yield _check_rights(settings, context)


def check_ledger(urls: Sequence[str], genesis: Genesis) -> Iterator[Finding]:
    """Yield whether the ledger's nodes answer, agree on the chain, keep up, see each other, and still make blocks."""
    seen = {url: ask_status(url) for url in urls}
    statuses = [status for status in seen.values() if isinstance(status, NodeStatus)]
    away = [f"{url} ({status})" for url, status in seen.items() if isinstance(status, str)]
    total = len(urls)
    if away:
        severity = Severity.WARNING if statuses else Severity.FAULT
        text = f"{len(away)} of {total} nodes do not answer: {', '.join(away)}"
        yield Finding("ledger", severity, text, "systemctl restart campusgrid-ledger, on the machine of that authority")
    else:
        heights = ", ".join(f"{status.name} {status.height}" for status in statuses)
        yield Finding("ledger", Severity.WELL, f"{total} of {total} nodes answer; heights: {heights}")
    if statuses:
        yield from _judge_nodes(statuses, genesis)


def ask_status(url: str) -> NodeStatus | str:
    """Return the status of the node at *url*, or why there is none."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/v1/status", timeout=CONNECT_TIMEOUT_S, trust_env=False)
        return TypeAdapter(NodeStatus).validate_python(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    except (ValueError, ValidationError):
        return "is no ledger node"


def judge_expiry(whose: str, certificates: Sequence[x509.Certificate], mend: str) -> Finding:
    """Return for how long the first of *certificates* to end still holds; *mend* says what to do when it is soon."""
    days = min((one.not_valid_after_utc - datetime.now(UTC)).days for one in certificates)
    text = f"the certificate {whose} holds for {days} days"
    if days < EXPIRY_WARNING_DAYS:
        return Finding("certificate", Severity.WARNING if days >= 0 else Severity.FAULT, text, mend)
    return Finding("certificate", Severity.WELL, text)


def _judge_nodes(statuses: Sequence[NodeStatus], genesis: Genesis) -> Iterator[Finding]:
    newest = max(status.height for status in statuses)
    for status in statuses:
        peers = [peer.name for peer in status.peers if not peer.connected]
        if status.chain_id != genesis.chain_id:
            text = f"{status.name} is of another ledger, {status.chain_id.hex()}; ours is {genesis.chain_id.hex()}"
            yield Finding("ledger node", Severity.FAULT, text, "mend ledger.urls or ledger.genesis in gateway.toml")
        if status.alarm:
            text = f"{status.name} signs no more: {status.alarm}"
            yield Finding("ledger node", Severity.FAULT, text, "call that authority; journalctl -u campusgrid-ledger")
        if newest - status.height > BLOCKS_BEHIND:
            text = f"{status.name} is {newest - status.height} blocks behind"
            yield Finding("ledger node", Severity.WARNING, text, "journalctl -u campusgrid-ledger, at that authority")
        if peers:
            text = f"{status.name} does not see {', '.join(peers)}"
            yield Finding("ledger peers", Severity.WARNING, text, "systemctl status campusgrid-ledger, at each of them")
    yield _judge_newest(max(statuses, key=lambda status: status.height), genesis)


def _judge_newest(status: NodeStatus, genesis: Genesis) -> Finding:
    age_s = int(time.time() - status.time_ms / 1000)
    limit_s = SILENT_HEARTBEATS * genesis.parameters.heartbeat_ms // 1000
    if age_s > limit_s:
        text = f"the newest block, {status.height}, is {age_s} s old; a block comes at least every {limit_s} s"
        return Finding("ledger blocks", Severity.FAULT, text, "call the authorities: fewer than a quorum agree")
    return Finding("ledger blocks", Severity.WELL, f"block {status.height} is {age_s} s old")


def _check_rights(settings: BrokerSettings, context: ssl.SSLContext) -> Finding:
    """Try what the gateway's login may do and what it must not, under a session name of the doctor's own."""
    try:
        wrong = list(_find_wrong_rights(settings, context))
    except (OSError, GatewayError, queue.Empty) as error:
        text = f"the access list cannot be tried: {error or 'no answer in time'}"
        return Finding("broker rights", Severity.FAULT, text, "mend broker.password_file; systemctl restart mosquitto")
    if wrong:
        return Finding("broker rights", Severity.FAULT, "; ".join(wrong), _MEND_RIGHTS)
    return Finding("broker rights", Severity.WELL, "nobody comes in without a password; no login can speak for a meter")


def _find_wrong_rights(settings: BrokerSettings, context: ssl.SSLContext) -> Iterator[str]:
    if _Visitor(settings, context, None).refusal is None:
        yield "the broker lets anybody in without a password"
    visitor = _Visitor(settings, context, settings.read_password())
    if visitor.refusal is not None:
        yield f"the broker refuses {settings.user!r}: {visitor.refusal}"
        return
    try:
        if visitor.publish(f"{NO_METER}/reading", b"campusgrid doctor") != _NOT_AUTHORISED:
            yield "the gateway's login may publish readings, as if it were a meter"
        mark = secrets.token_hex(8).encode()
        visitor.subscribe("#")
        if visitor.publish(f"{NO_METER}/receipt", mark) == _NOT_AUTHORISED:
            yield "the gateway's login may not publish receipts"
        if visitor.hears(mark):
            yield "the gateway's login may read what is not for it"
    finally:
        visitor.leave()


class _Visitor:
    """A short connection, in MQTT 5, where the broker says what it refuses. `refusal` is why it was not let in."""

    def __init__(self, settings: BrokerSettings, context: ssl.SSLContext, password: str | None) -> None:
        self._answers: queue.Queue[Any] = queue.Queue()
        self._heard: queue.Queue[bytes] = queue.Queue()
        name = f"campusgrid-doctor-{secrets.token_hex(4)}"
        self._client = Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        self._client.tls_set_context(context)
        if password is not None:
            self._client.username_pw_set(settings.user, password)
        self._client.on_connect = lambda _c, _d, _flags, reason, _p: self._answers.put(reason)
        self._client.on_subscribe = lambda _c, _d, _mid, reasons, _p: self._answers.put(reasons[0])
        self._client.on_publish = lambda _c, _d, _mid, reason, _p: self._answers.put(reason)
        self._client.on_message = self._take
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.connect(settings.host, settings.port)
        self._client.loop_start()
        reason = self._answer()
        self.refusal = str(reason) if reason.is_failure else None
        if reason.is_failure:
            self.leave()

    def publish(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1 and return the broker's reason code."""
        self._client.publish(topic, payload, qos=1)
        return int(self._answer().value)

    def subscribe(self, topic: str) -> None:
        """Subscribe; mosquitto grants it whatever the topic, and holds back what may not be read."""
        self._client.subscribe(topic, qos=0)
        self._answer()

    def hears(self, payload: bytes) -> bool:
        """Tell whether *payload* has come back: by the time that a later request is answered it has, if at all."""
        self.subscribe(f"{NO_METER}/status")
        found = False
        while not self._heard.empty():
            found = found or self._heard.get() == payload
        return found

    def leave(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._heard.put(bytes(message.payload))

    def _answer(self) -> Any:
        return self._answers.get(timeout=CONNECT_TIMEOUT_S)
