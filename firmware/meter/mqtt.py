"""MQTT 3.1.1 packets (OASIS standard, 2014): what a publisher with one subscription needs. No I/O here."""

from collections import namedtuple

from meter.errors import UplinkError

MAX_PACKET_BYTES = 4096
"""A longer packet from the broker ends the session: nothing that the meter subscribes to is that long."""
KEEP_ALIVE_S = 30

Connack = namedtuple("Connack", ("code", "session_present"))
Puback = namedtuple("Puback", ("packet_id",))
Suback = namedtuple("Suback", ("packet_id", "granted"))
Publish = namedtuple("Publish", ("topic", "payload", "packet_id"))
Pong = namedtuple("Pong", ("empty",))

PING = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
"""Says that the client goes on purpose: the broker then forgets its will."""

_REFUSALS = {
    1: "protocol version not supported",
    2: "client identifier refused",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorised",
}


def connect(client_id, user, password, will_topic, will):
    """Return a CONNECT: clean session, user name and password; *will* is published, QoS 1, when the link dies."""
    body = b"\x00\x04MQTT\x04" + bytes([0xCE]) + KEEP_ALIVE_S.to_bytes(2, "big")
    return _packet(0x10, body + b"".join([_text(text) for text in (client_id, will_topic, will, user, password)]))


def publish(topic, payload, packet_id):
    """Return a PUBLISH with QoS 1; never DUP, since every session is a clean one."""
    return _packet(0x32, _text(topic) + packet_id.to_bytes(2, "big") + payload)


def subscribe(topic, packet_id):
    """Return a SUBSCRIBE to *topic* with QoS 1."""
    return _packet(0x82, packet_id.to_bytes(2, "big") + _text(topic) + b"\x01")


def puback(packet_id):
    """Return the PUBACK of a received PUBLISH."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def refusal(code):
    """Return what CONNACK *code* means, as text."""
    return _REFUSALS.get(code, "code {}".format(code))


class Parser:
    """Takes bytes as they come and gives out whole packets; raises UplinkError for what is no MQTT."""

    def __init__(self):
        self._buffer = b""

    def feed(self, data):
        """Return the packets that *data* completes."""
        self._buffer += data
        packets = []
        while True:
            place, end = _frame(self._buffer)
            if end is None or end > len(self._buffer):
                return packets
            packets.append(_parse(self._buffer[0], self._buffer[place:end]))
            self._buffer = self._buffer[end:]


def _frame(buffer):
    """Return (start, end) of the first packet's body; end is None while its length is not all there (§2.2.3)."""
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


def _parse(first, body):
    kind = first >> 4
    if kind == 3:
        return _parse_publish(first, body)
    if first == 0x20 and len(body) == 2 and body[0] < 2:
        return Connack(body[1], bool(body[0]))
    if first == 0x40 and len(body) == 2:
        return Puback(int.from_bytes(body, "big"))
    if first == 0x90 and len(body) == 3:
        return Suback(int.from_bytes(body[:2], "big"), body[2] < 0x80)
    if first == 0xD0 and not body:
        return Pong(None)
    raise UplinkError("the broker sent an unexpected packet of type {}".format(kind))


def _parse_publish(first, body):
    quality = first >> 1 & 3
    topic_end = 2 + int.from_bytes(body[:2], "big")
    payload_start = topic_end + (2 if quality else 0)
    if len(body) < payload_start or quality > 1:
        raise UplinkError("the broker sent a malformed PUBLISH")
    packet_id = int.from_bytes(body[topic_end:payload_start], "big") if quality else None
    return Publish(body[2:topic_end], body[payload_start:], packet_id)


def _packet(first, body):
    length = len(body)
    head = bytes([first])
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + body


def _text(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
