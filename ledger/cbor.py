"""Deterministic CBOR (RFC 8949 §4.2) for all that the ledger hashes or signs: arrays, integers, byte and text strings.

One value has one encoding: `decode` encodes again what it read and refuses anything that does not come out the same,
so non-minimal integers, indefinite lengths, duplicate keys and trailing bytes never get past it.
"""

from __future__ import annotations

from typing import Any, Final

import cbor2

from ledger.errors import MalformedError

MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**128 - 1

Value = Any
"""A nested list or tuple of `int`, `bytes`, `str`, `bool` and `None`."""


def encode(value: Value) -> bytes:
    """Return the canonical encoding of *value*; raises TypeError for floats, maps and other foreign types."""
    _check_types(value, 0)
    return cbor2.dumps(value)


def decode(data: bytes) -> Value:
    """Return the value that *data* canonically encodes; raises MalformedError for anything else."""
    try:
        value = cbor2.loads(data)
        _check_types(value, 0)
        again = cbor2.dumps(value)
    except (cbor2.CBORError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise MalformedError(f"not decodable as CBOR: {error}") from error
    if again != data:
        raise MalformedError("CBOR is not in its canonical form")
    return value


def _check_types(value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if kind is list or kind is tuple:
        for item in value:
            _check_types(item, depth + 1)
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise ValueError("integer beyond 128 bits")
    elif value is not None and kind not in (bytes, str, bool):
        raise TypeError(f"{kind.__name__} has no place in a ledger format")
