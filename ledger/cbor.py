"""Deterministic CBOR (RFC 8949 §4.2) for all that the ledger hashes or signs: arrays, integers, byte and text strings.

One value has one encoding: `decode` encodes again what it read and refuses anything that does not come out the same,
so non-minimal integers, indefinite lengths, duplicate keys and trailing bytes never get past it. Before cbor2 sees the
bytes, their heads are walked: its tags would compute huge powers, compile patterns, and share one list a billion times.
"""

from __future__ import annotations

from typing import Any, Final

import cbor2

from ledger.errors import MalformedError

MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**128 - 1
_PLAIN: Final = frozenset({bytes, str, bool, type(None)})
_BYTES, _TEXT = 2, 3
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}

Value = Any
"""A nested list or tuple of `int`, `bytes`, `str`, `bool` and `None`."""


def encode(value: Value) -> bytes:
    """Return the canonical encoding of *value*; raises TypeError for floats, maps and other foreign types."""
    _check_types(value, 0)
    return cbor2.dumps(value)


def decode(data: bytes) -> Value:
    """Return the value that *data* canonically encodes; raises MalformedError for anything else."""
    try:
        _check_heads(data)
        value = cbor2.loads(data)
        _check_types(value, 0)
        again = cbor2.dumps(value)
    except (cbor2.CBORError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error
    if again != data:
        raise MalformedError("CBOR is not in its canonical form")
    return value


def decode_own(data: bytes) -> Value:
    """Return the value of bytes that `encode` made and a hash vouches for; raises MalformedError for no CBOR."""
    try:
        return cbor2.loads(data)
    except (cbor2.CBORError, ValueError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error


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


def _check_types(value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if kind is list or kind is tuple:
        for item in value:
            if type(item) not in _PLAIN:
                _check_types(item, depth + 1)
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise ValueError("integer beyond 128 bits")
    elif kind not in _PLAIN:
        raise TypeError(f"{kind.__name__} has no place in a ledger format")


_STEPS: Final = tuple(map(_step, range(256)))
