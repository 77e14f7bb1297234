"""CBOR: what the firmware's subset takes and what it refuses. Runs on every interpreter."""

from meter import cbor
from meter.errors import MalformedError


def answer(text: str) -> list:
    """Return what the bytes *text* (hex) stand for and how that is encoded; nothing where they are refused."""
    try:
        value = cbor.decode(bytes.fromhex(text))
    except MalformedError:
        return []
    return [shown(value), cbor.encode(value).hex()]


def shown(value: object) -> object:
    """Return *value* as JSON can say it: a byte string becomes {"hex": its digits}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value
