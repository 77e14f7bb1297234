"""Deterministic CBOR (RFC 8949 §4.2) for all that the ledger hashes or signs: arrays, integers, byte and text strings.

One value has one encoding: `decode` refuses anything that `encode` would not have written so, thus non-minimal
integers, indefinite lengths, maps, floats and trailing bytes never get past it.

Both are our own. For the short arrays of a ledger cbor2 takes four times as long to set itself up and write them; and
what it reads would have to be encoded again to see whether it was canonical. It reads only what this node wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import cbor2

from ledger.errors import MalformedError

MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**128 - 1
_MAX_INTEGER_BYTES: Final = 16
_MAX_NAME_CHARACTERS: Final = 40
_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY = range(5)
_POSITIVE_TAG, _NEGATIVE_TAG = 0xC2, 0xC3
_SIMPLE: Final = {0xF4: False, 0xF5: True, 0xF6: None}
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_LONG_ARGUMENTS: Final = (
    *[(0, 0)] * 24, (1, 24), (2, 2**8), (4, 2**16), (8, 2**32),
    *[(0, 1)] * 4,
)  # fmt: skip
"""By a head's low five bits: how many bytes its argument has, and the least that is not written shorter."""

Value = Any
"""A nested list or tuple of `int`, `bytes`, `str`, `bool` and `None`."""


def encode(value: Value) -> bytes:
    """Return the canonical encoding of *value*; raises TypeError for floats, maps and other foreign types.

    Raises ValueError for what is nested too deeply, too large an integer, and text that is no Unicode.
    """
    parts: list[bytes] = []
    _write((value,), parts, 0)
    return b"".join(parts)


def encode_array(values: Sequence[Value]) -> bytes:
    """Return what `encode` does for a list of *values*: for a tuple that has names, too."""
    parts = [_make_head(_ARRAY, len(values))]
    _write(values, parts, 1)
    return b"".join(parts)


def decode(data: bytes) -> Value:
    """Return the value that *data* canonically encodes; raises MalformedError for anything else."""
    try:
        (value,), end = _read(data, 0, 1, 0)
    except IndexError as error:
        raise MalformedError("not decodable as CBOR: it ends too early") from error
    except ValueError as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error
    if end != len(data):
        raise MalformedError(f"not decodable as CBOR: one value of {end} bytes in {len(data)}")
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


def _read(data: bytes, place: int, count: int, depth: int) -> tuple[list[Value], int]:
    """Return the *count* values from *place* on, which lie *depth* arrays deep, and where they end.

    Raises ValueError for what `_write` would not have written so, IndexError where *data* ends first; a last value that
    is cut off ends behind *data*. One function, for it is called for all that comes in.
    """
    values: list[Value] = []
    for _ in range(count):
        head = data[place]
        kind, argument = head >> 5, head & 31
        place += 1
        if argument > 23:
            width, least = _LONG_ARGUMENTS[argument]
            argument = int.from_bytes(data[place : place + width], "big")
            place += width
            if argument < least or kind > _ARRAY:
                raise ValueError(f"head 0x{head:02x} is not canonical, or has no place in a ledger format")
        if kind == _BYTES:
            values.append(data[place : place + argument])
            place += argument
        elif kind == _UINT and depth <= MAX_DEPTH:
            values.append(argument)
        elif kind == _TEXT:
            values.append(data[place : place + argument].decode())
            place += argument
        elif kind == _ARRAY and depth <= MAX_DEPTH:
            items, place = _read(data, place, argument, depth + 1)
            values.append(items)
        else:
            value, place = _read_rarer(data, head, argument, place, depth)
            values.append(value)
    return values, place


def _read_rarer(data: bytes, head: int, argument: int, place: int, depth: int) -> tuple[Value, int]:
    """Return the value of *head*, which is no string, array or positive integer of 64 bits, and where it ends."""
    if head in _SIMPLE:
        return _SIMPLE[head], place
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return (-1 - argument, place) if head >> 5 == _NEGATIVE else _read_big_integer(data, head, place)


def _read_big_integer(data: bytes, head: int, place: int) -> tuple[int, int]:
    """Return the integer of more than 64 bits whose tag is *head*, and where it ends."""
    size = data[place] - _BYTES_HEADS[0][0]
    value = int.from_bytes(data[place + 1 : place + 1 + size], "big") if 8 < size <= _MAX_INTEGER_BYTES else 0
    value = -1 - value if head == _NEGATIVE_TAG else value
    if head not in (_POSITIVE_TAG, _NEGATIVE_TAG) or not data[place + 1] or not 2**64 <= abs(value) <= MAX_INTEGER:
        raise ValueError(f"head 0x{head:02x} is not canonical, or has no place in a ledger format")
    return value, place + 1 + size


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
            parts.append(_encode_name(value) if len(value) <= _MAX_NAME_CHARACTERS else _encode_text(value))
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


def _encode_text(value: str) -> bytes:
    text = value.encode()
    return _make_head(_TEXT, len(text)) + text


_encode_name: Final = lru_cache(maxsize=1_024)(_encode_text)
"""Modules, calls, events and what they tell of have the same few names again and again."""


def _encode_integer(value: int) -> bytes:
    if _COMMON <= value < 2**32:  # times and energies, most of all
        return (0x1A << 32 | value).to_bytes(5, "big") if value >= 2**16 else (0x19 << 16 | value).to_bytes(3, "big")
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
_UINTS, _BYTES_HEADS, _ARRAY_HEADS = (
    tuple(_make_head(kind, argument) for argument in range(_COMMON)) for kind in (_UINT, _BYTES, _ARRAY)
)
