"""Deterministic CBOR (RFC 8949 §4.2), as far as the wire formats go: integers, strings, arrays, bool, null.

The decoder takes only the one canonical encoding, never looks beyond the data's end, and never nests deeper than
`MAX_DEPTH`, so hostile bytes cost no more memory than themselves.
"""

from meter.errors import MalformedError

MAX_DEPTH = 6

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _SIMPLE = 0, 1, 2, 3, 4, 7
_SIMPLE_VALUES = {20: False, 21: True, 22: None}


def encode(value):
    """Return the canonical encoding of *value*; raises TypeError for what the subset lacks."""
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    if isinstance(value, bytes):
        return _head(_BYTES, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(_TEXT, len(text)) + text
    if isinstance(value, (list, tuple)):
        return _head(_ARRAY, len(value)) + b"".join([encode(item) for item in value])
    raise TypeError("CBOR subset has no " + type(value).__name__)


def decode(data):
    """Return the value that *data* canonically encodes; raises MalformedError for anything else."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise MalformedError("bytes follow the CBOR value")
    return value


def _head(major, argument):
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | code]) + argument.to_bytes(size, "big")
    raise TypeError("CBOR integer beyond 64 bits")


def _decode(data, place, depth):
    if depth > MAX_DEPTH:
        raise MalformedError("CBOR nested too deeply")
    if place >= len(data):
        raise MalformedError("CBOR ends early")
    major = data[place] >> 5
    if major == _SIMPLE:
        return _decode_simple(data[place] & 31), place + 1
    argument, place = _decode_argument(data, place)
    if major == _UNSIGNED:
        return argument, place
    if major == _NEGATIVE:
        return -1 - argument, place
    if major == _ARRAY:
        return _decode_array(data, place, argument, depth)
    if major not in (_BYTES, _TEXT):
        raise MalformedError("CBOR maps and tags have no place here")
    if argument > len(data) - place:
        raise MalformedError("CBOR string ends early")
    content = bytes(data[place : place + argument])
    return (content if major == _BYTES else _decode_text(content)), place + argument


def _decode_simple(code):
    if code not in _SIMPLE_VALUES:
        raise MalformedError("CBOR floats and unassigned simple values have no place here")
    return _SIMPLE_VALUES[code]


def _decode_argument(data, place):
    """Return the argument of the head at *place*, which must be in its shortest form, and the place behind it."""
    code = data[place] & 31
    place += 1
    if code < 24:
        return code, place
    if code > 27:
        raise MalformedError("CBOR of indefinite length has no place here")
    size = 1 << (code - 24)
    if size > len(data) - place:
        raise MalformedError("CBOR ends early")
    argument = int.from_bytes(data[place : place + size], "big")
    if argument < (24 if size == 1 else 1 << 4 * size):
        raise MalformedError("CBOR integer is not in its shortest form")
    return argument, place + size


def _decode_array(data, place, count, depth):
    if count > len(data) - place:  # each item has a byte at least
        raise MalformedError("CBOR array ends early")
    items = []
    for _ in range(count):
        item, place = _decode(data, place, depth + 1)
        items.append(item)
    return items, place


def _decode_text(content):
    try:
        return content.decode()
    except (UnicodeError, ValueError):
        raise MalformedError("CBOR text is not UTF-8") from None
