"""Properties of MQTT 5 packets (OASIS standard, 2019, §2.2.2): written, and read strictly. No I/O here."""

from meter.errors import UplinkError

CONNACK, PUBLISH, PUBACK, SUBACK, DISCONNECT = 2, 3, 4, 9, 14
"""Types of packets that a broker sends with properties."""

SESSION_EXPIRY_S = 0x11
SERVER_KEEP_ALIVE_S = 0x13
REQUEST_PROBLEM_INFORMATION = 0x17
WILL_DELAY_S = 0x18
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
MAXIMUM_QOS = 0x24
MAXIMUM_PACKET_BYTES = 0x27
_SUBSCRIPTION_IDENTIFIER = 0x0B
_USER_PROPERTY = 0x26

MAX_LENGTH_BYTES = 4
"""Of a variable byte integer (§1.5.5)."""

_BIT, _TWO_BYTES, _FOUR_BYTES, _VARIABLE, _BYTES, _PAIR = 1, 2, 4, 5, 6, 7
_KNOWN = {
    0x01: (_BIT, (PUBLISH,)),
    0x02: (_FOUR_BYTES, (PUBLISH,)),
    0x03: (_BYTES, (PUBLISH,)),
    0x08: (_BYTES, (PUBLISH,)),
    0x09: (_BYTES, (PUBLISH,)),
    _SUBSCRIPTION_IDENTIFIER: (_VARIABLE, (PUBLISH,)),
    SESSION_EXPIRY_S: (_FOUR_BYTES, (CONNACK,)),
    0x12: (_BYTES, (CONNACK,)),
    SERVER_KEEP_ALIVE_S: (_TWO_BYTES, (CONNACK,)),
    0x15: (_BYTES, (CONNACK,)),
    0x16: (_BYTES, (CONNACK,)),
    0x1A: (_BYTES, (CONNACK,)),
    0x1C: (_BYTES, (CONNACK, DISCONNECT)),
    REASON_STRING: (_BYTES, (CONNACK, PUBACK, SUBACK, DISCONNECT)),
    RECEIVE_MAXIMUM: (_TWO_BYTES, (CONNACK,)),
    0x22: (_TWO_BYTES, (CONNACK,)),
    MAXIMUM_QOS: (_BIT, (CONNACK,)),
    0x25: (_BIT, (CONNACK,)),
    _USER_PROPERTY: (_PAIR, (CONNACK, PUBLISH, PUBACK, SUBACK, DISCONNECT)),
    MAXIMUM_PACKET_BYTES: (_FOUR_BYTES, (CONNACK,)),
    0x28: (_BIT, (CONNACK,)),
    0x29: (_BIT, (CONNACK,)),
    0x2A: (_BIT, (CONNACK,)),
}
"""What a broker may send, and where (table 2-4). A topic alias (0x23) is not among it: the meter grants none."""
_NEVER_ZERO = (_SUBSCRIPTION_IDENTIFIER, RECEIVE_MAXIMUM, MAXIMUM_PACKET_BYTES)
_REPEATED = (_SUBSCRIPTION_IDENTIFIER, _USER_PROPERTY)


def integer(identifier, value, size):
    """Return one property whose value takes *size* bytes."""
    return bytes([identifier]) + value.to_bytes(size, "big")


def block(properties):
    """Return *properties*, one after the other, with the length before them."""
    return length(len(properties)) + properties


def length(value):
    """Return *value* as a variable byte integer."""
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def read(body, start, packet):
    """Return ({identifier: value}, end) of the properties from *start* in the body of a packet of type *packet*.

    Values are integers or bytes; of a property that may come repeatedly, the last. Raises UplinkError.
    """
    size, place = _read_length(body, start)
    end = place + size
    if end > len(body):
        raise UplinkError("the broker sent properties longer than their packet")
    data = body[:end]
    found = {}
    while place < end:
        identifier = data[place]
        value, place = _read_value(identifier, data, place + 1, packet)
        if identifier in found and identifier not in _REPEATED:
            raise UplinkError("the broker sent property 0x{:02x} twice".format(identifier))
        found[identifier] = value
    return found, end


def _read_value(identifier, data, start, packet):
    form, packets = _KNOWN.get(identifier, (None, ()))
    if packet not in packets:
        raise UplinkError("the broker sent property 0x{:02x} in a packet of type {}".format(identifier, packet))
    value, end = _read_form(form, data, start)
    if end > len(data):
        raise UplinkError("the broker sent property 0x{:02x} cut short".format(identifier))
    if (form == _BIT and value > 1) or (identifier in _NEVER_ZERO and value == 0):
        raise UplinkError("the broker sent property 0x{:02x} with the value {}".format(identifier, value))
    return value, end


def _read_form(form, data, start):
    """Return (value, end); the end lies behind *data* where the value is cut short."""
    if form == _VARIABLE:
        return _read_length(data, start)
    if form == _BYTES:
        end = start + 2 + int.from_bytes(data[start : start + 2], "big")
        return data[start + 2 : end], end
    if form == _PAIR:
        _, middle = _read_form(_BYTES, data, start)
        return _read_form(_BYTES, data, middle)
    return int.from_bytes(data[start : start + form], "big"), start + form


def _read_length(data, start):
    value = 0
    for count, byte in enumerate(data[start : start + MAX_LENGTH_BYTES]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if byte == 0 and count:
                break  # not the shortest form
            return value, start + count + 1
    raise UplinkError("the broker sent a malformed length of properties")
