"""Deterministic CBOR (RFC 8949 §4.2) for all that the ledger hashes or signs: arrays, integers, byte and text strings.

One value has one encoding: `decode` encodes again what it read and refuses anything that does not come out the same,
so non-minimal integers, indefinite lengths, duplicate keys and trailing bytes never get past it. Before cbor2 sees the
bytes, their heads are walked: its tags would compute huge powers, compile patterns, and share one list a billion times.

The encoder is our own: for the short arrays of a ledger cbor2 takes four times as long to set itself up and write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import cbor2

from ledger.errors import MalformedError

MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**128 - 1
_BYTES, _TEXT, _ARRAY = 2, 3, 4
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}

Value = Any
"""A nested list or tuple of `int`, `bytes`, `str`, `bool` and `None`."""


def encode(value: Value) -> bytes:
    """Return the canonical encoding of *value*; raises TypeError for floats, maps and other foreign types.

    Raises ValueError for what is nested too deeply, too large an integer, and text that is no Unicode.
    """
    parts: list[bytes] = []
    _write((value,), parts, 0)
    return b"".join(parts)


def decode(data: bytes) -> Value:
    """Return the value that *data* canonically encodes; raises MalformedError for anything else."""
    try:
        _check_heads(data)
        value = cbor2.loads(data)
        again = encode(value)
    except (cbor2.CBORError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error
    if again != data:
        raise MalformedError("CBOR is not in its canonical form")
    return value


def decode_first(data: bytes) -> Value:
    """Return the first value in bytes that `encode` made; raises MalformedError for no CBOR."""
    try:
        return cbor2.CBORDecoder(BytesIO(data)).decode()
    except (cbor2.CBORError, ValueError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error


def decode_own(data: bytes) -> Value:
    """Return the value of bytes that `encode` made and a hash vouches for; raises MalformedError for no CBOR."""
    try:
        return cbor2.loads(data)
    except (cbor2.CBORError, ValueError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error


def read_byte_string(data: bytes, start: int, end: int) -> bytes:
    """Return the byte string whose canonical encoding is `data[start:end]`; raises MalformedError for anything else."""
    head = data[start]
    width = 0 if head & 31 < 24 else _ARGUMENT_BYTES.get(head & 31, 0)
    place = start + 1 + width
    size = int.from_bytes(data[start + 1 : place], "big") if width else head & 31
    if head >> 5 != _BYTES or place + size != end or not data.startswith(_make_head(_BYTES, size), start):
        raise MalformedError("not one byte string in its canonical form")
    return data[place:end]


def _check_heads(data: bytes) -> None:
    """Refuse maps, floats, indefinite lengths and all tags but those of big integers, in one walk without recursion."""
    place = 0
    while place < len(data):
        step = _STEPS[data[place]]
        place += step or _measure_long_string(data, place)


def _measure_long_string(data: bytes, place: int) -> int:
    head = data[place]
    size = _ARGUMENT_BYTES.get(head & 31, 0)
    if head >> 5 not in (_BYTES, _TEXT) or not size:
        raise ValueError(f"a head 0x{head:02x} has no place in a ledger format")
    return 1 + size + int.from_bytes(data[place + 1 : place + 1 + size], "big")


def _step(head: int) -> int:
    """Return how far it is from *head* to the next one; 0 where that takes a closer look."""
    kind, info = head >> 5, head & 31
    if kind in (_BYTES, _TEXT):
        return 1 + info if info < 24 else 0
    if kind in (0, 1, 4):
        return 1 + _ARGUMENT_BYTES.get(info, 0) if info < 28 else 0
    return 1 if head in (0xC2, 0xC3, 0xF4, 0xF5, 0xF6) else 0  # big integers, false, true, null


def _write(values: Sequence[Value], parts: list[bytes], depth: int) -> None:
    """Append the encodings of *values*, which lie *depth* arrays deep; one function, for it is called most of all."""
    for value in values:
        kind = type(value)
        if kind is bytes:
            size = len(value)
            parts.append(_BYTES_HEADS[size] if size < _COMMON else _make_head(_BYTES, size))
            parts.append(value)
        elif kind is int and depth <= MAX_DEPTH:
            parts.append(_UINTS[value] if 0 <= value < _COMMON else _encode_integer(value))
        elif kind is str:
            text = value.encode()
            size = len(text)
            parts.append(_TEXT_HEADS[size] if size < _COMMON else _make_head(_TEXT, size))
            parts.append(text)
        elif (kind is tuple or kind is list) and depth <= MAX_DEPTH:
            size = len(value)
            parts.append(_ARRAY_HEADS[size] if size < _COMMON else _make_head(_ARRAY, size))
            _write(value, parts, depth + 1)
        elif value is None:
            parts.append(b"\xf6")
        elif kind is bool:
            parts.append(b"\xf5" if value else b"\xf4")
        elif kind in (int, list, tuple):
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        else:
            raise TypeError(f"{kind.__name__} has no place in a ledger format")


def _encode_integer(value: int) -> bytes:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise ValueError("integer beyond 128 bits")
    kind, argument = (0, value) if value >= 0 else (1, -1 - value)
    if argument < 2**64:
        return _make_head(kind, argument)
    size = (argument.bit_length() + 7) // 8
    return (b"\xc3" if kind else b"\xc2") + _BYTES_HEADS[size] + argument.to_bytes(size, "big")


def _make_head(kind: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((kind << 5 | argument,))
    info = 24 if argument < 2**8 else 25 if argument < 2**16 else 26 if argument < 2**32 else 27
    return bytes((kind << 5 | info,)) + argument.to_bytes(_ARGUMENT_BYTES[info], "big")


_COMMON: Final = 256
"""Heads with a smaller argument are made beforehand."""
_UINTS, _BYTES_HEADS, _TEXT_HEADS, _ARRAY_HEADS = (
    tuple(_make_head(kind, argument) for argument in range(_COMMON)) for kind in (0, _BYTES, _TEXT, _ARRAY)
)
_STEPS: Final = tuple(map(_step, range(256)))
