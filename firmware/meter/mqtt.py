"""MQTT packets (OASIS standards 5.0, 2019, and 3.1.1, 2014): what a publisher with one subscription needs. No I/O here.

*level* is the version as a CONNECT states it: 5, or 4 for 3.1.1.
"""

from collections import namedtuple

from meter import mqtt_properties as properties
from meter import mqtt_reasons as reasons
from meter.errors import UplinkError

V5, V311 = 5, 4
NAMES = {V5: "MQTT 5", V311: "MQTT 3.1.1"}

MAX_PACKET_BYTES = 4096
"""A longer packet from the broker ends the session: nothing that the meter subscribes to is that long."""
KEEP_ALIVE_S = 30
BREAK_S = 60
"""MQTT 5: so long after the link is gone, the broker keeps the session, and the last will to itself."""
RECEIVE_MAXIMUM = 16
"""MQTT 5: messages that the broker may send ahead of their PUBACKs."""

Connack = namedtuple("Connack", ("code", "session_present", "terms", "text"))
Puback = namedtuple("Puback", ("packet_id", "code", "text"))
Suback = namedtuple("Suback", ("packet_id", "code", "text"))
Publish = namedtuple("Publish", ("topic", "payload", "packet_id"))
Disconnect = namedtuple("Disconnect", ("code", "text"))
Pong = namedtuple("Pong", ("empty",))
"""`code` says success below `reasons.FIRST_REFUSAL`, except that of a Connack, which is then 0; `text` is bytes."""

Terms = namedtuple("Terms", ("in_flight", "packet_bytes", "keep_alive_s", "quality"))
"""What the broker takes in a session: messages without PUBACK, bytes a packet, keep-alive, and the highest QoS."""
TERMS = Terms(65535, 268_435_460, KEEP_ALIVE_S, 1)
"""The standard's own, where the broker says nothing."""

PING = b"\xc0\x00"


def connect(level, client_id, user, password, will_topic, will, is_clean):
    """Return a CONNECT; *will* is published, QoS 1, when the link dies (MQTT 5: and stays dead for BREAK_S)."""
    head = b"\x00\x04MQTT" + bytes([level, 0xCE if is_clean else 0xCC]) + KEEP_ALIVE_S.to_bytes(2, "big")
    will_properties = b""
    if level == V5:
        head += properties.block(
            properties.integer(properties.SESSION_EXPIRY_S, BREAK_S, 4)
            + properties.integer(properties.RECEIVE_MAXIMUM, RECEIVE_MAXIMUM, 2)
            + properties.integer(properties.MAXIMUM_PACKET_BYTES, MAX_PACKET_BYTES, 4)
            + properties.integer(properties.REQUEST_PROBLEM_INFORMATION, 1, 1)
        )
        will_properties = properties.block(properties.integer(properties.WILL_DELAY_S, BREAK_S, 4))
    login = _text(will_topic) + _text(will) + _text(user) + _text(password)
    return _packet(0x10, head + _text(client_id) + will_properties + login)


def publish(level, topic, payload, packet_id, is_again=False):
    """Return a PUBLISH with QoS 1; *is_again*: in a session taken up again, under the same identifier as before."""
    head = _text(topic) + packet_id.to_bytes(2, "big") + _no_properties(level)
    return _packet(0x3A if is_again else 0x32, head + payload)


def subscribe(level, topic, packet_id):
    """Return a SUBSCRIBE to *topic* with QoS 1."""
    return _packet(0x82, packet_id.to_bytes(2, "big") + _no_properties(level) + _text(topic) + b"\x01")


def puback(packet_id):
    """Return the PUBACK of a received PUBLISH."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def disconnect(level):
    """Return a DISCONNECT: the client goes on purpose, so that the broker forgets its will, and its session now."""
    if level == V311:
        return b"\xe0\x00"
    return _packet(0xE0, b"\x00" + properties.block(properties.integer(properties.SESSION_EXPIRY_S, 0, 4)))


class Parser:
    """Takes bytes as they come and gives out whole packets; raises UplinkError for what is no MQTT of *level*."""

    def __init__(self, level):
        self._level = level
        self._buffer = b""

    def feed(self, data):
        """Return the packets that *data* completes."""
        self._buffer += data
        packets = []
        while True:
            place, end = _frame(self._buffer)
            if end is None or end > len(self._buffer):
                return packets
            packets.append(_parse(self._level, self._buffer[0], self._buffer[place:end]))
            self._buffer = self._buffer[end:]


def _frame(buffer):
    """Return (start, end) of the first packet's body; end is None while its length is not all there (§2.1.4)."""
    length = shift = 0
    for place in range(1, min(len(buffer), 5)):
        length |= (buffer[place] & 0x7F) << shift
        shift += 7
        if length > MAX_PACKET_BYTES:
            raise UplinkError("the broker sent a packet longer than {} bytes".format(MAX_PACKET_BYTES))
        if buffer[place] < 0x80:
            return place + 1, place + 1 + length
    if len(buffer) >= 5:
        raise UplinkError("the broker sent a malformed packet length")
    return 0, None


def _parse(level, first, body):
    kind = first >> 4
    if kind == properties.PUBLISH:
        return _parse_publish(level, first, body)
    if first == 0x20:
        return _parse_connack(level, body)
    if first == 0x40:
        return _parse_puback(level, body)
    if first == 0x90:
        return _parse_suback(level, body)
    if first == 0xD0 and not body:
        return Pong(None)
    if first == 0xE0 and level == V5:
        return Disconnect(*_reason(body, 0, properties.DISCONNECT))
    raise UplinkError("the broker sent an unexpected packet of type {}".format(kind))


def _parse_publish(level, first, body):
    quality = first >> 1 & 3
    topic_end = 2 + int.from_bytes(body[:2], "big")
    start = topic_end + (2 if quality else 0)
    packet_id = int.from_bytes(body[topic_end:start], "big") if quality else None
    if len(body) < start or quality > 1 or packet_id == 0:
        raise UplinkError("the broker sent a malformed PUBLISH")
    if level == V5:
        _, start = properties.read(body, start, properties.PUBLISH)
    return Publish(body[2:topic_end], body[start:], packet_id)


def _parse_connack(level, body):
    if len(body) < 2 or body[0] > 1:
        raise UplinkError("the broker sent a malformed CONNACK")
    code, present = body[1], bool(body[0])
    if len(body) == 2:
        if level == V5 and code == 0:  # a broker that does not look at the version, but speaks 3.1.1
            code = reasons.UNSUPPORTED_VERSION
        return Connack(code, present, TERMS, b"")
    if level == V311:
        raise UplinkError("the broker sent a malformed CONNACK")
    found = _last_properties(body, 2, properties.CONNACK)
    terms = Terms(
        found.get(properties.RECEIVE_MAXIMUM, TERMS.in_flight),
        found.get(properties.MAXIMUM_PACKET_BYTES, TERMS.packet_bytes),
        min(found.get(properties.SERVER_KEEP_ALIVE_S, 0) or KEEP_ALIVE_S, KEEP_ALIVE_S),
        found.get(properties.MAXIMUM_QOS, TERMS.quality),
    )
    return Connack(code, present, terms, found.get(properties.REASON_STRING, b""))


def _parse_puback(level, body):
    if len(body) < 2 or (level == V311 and len(body) > 2):
        raise UplinkError("the broker sent a malformed PUBACK")
    return Puback(int.from_bytes(body[:2], "big"), *_reason(body, 2, properties.PUBACK))


def _parse_suback(level, body):
    found, place = properties.read(body, 2, properties.SUBACK) if level == V5 else ({}, 2)
    if len(body) != place + 1:
        raise UplinkError("the broker sent a malformed SUBACK")
    return Suback(int.from_bytes(body[:2], "big"), body[place], found.get(properties.REASON_STRING, b""))


def _reason(body, start, packet):
    """Return (reason code, reason string) at the end of *body*: both may be left out (§3.4.2, §3.14.2)."""
    code = body[start] if len(body) > start else 0
    found = _last_properties(body, start + 1, packet) if len(body) > start + 1 else {}
    return code, found.get(properties.REASON_STRING, b"")


def _last_properties(body, start, packet):
    found, end = properties.read(body, start, packet)
    if end != len(body):
        raise UplinkError("the broker sent a packet of type {} with something behind it".format(packet))
    return found


def _no_properties(level):
    return b"\x00" if level == V5 else b""


def _packet(first, body):
    return bytes([first]) + properties.length(len(body)) + body


def _text(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
