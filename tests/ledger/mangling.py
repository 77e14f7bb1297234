"""Hostile variants of sound bytes: bits flipped, pieces lost, doubled and mixed; in CBOR, values changed in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import cbor2

EDGES: tuple[Any, ...] = (
    0, 1, -1, 23, 24, 255, 256, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64, -(2**64), 2**128, 10**60,
    True, False, None, 1.5, "", "x" * 300, "é\0", b"", b"\0" * 8, b"\0" * 32, b"\xff" * 64, [], {}, {1: 2},
    cbor2.CBORTag(2, b"\0"), cbor2.CBORTag(0, "2026-01-01T00:00:00Z"), cbor2.undefined,
)  # fmt: skip


def mangle(sound: Sequence[bytes], random: Random) -> bytes:
    """Return a hostile variant of one of the *sound* encodings."""
    data = random.choice(sound)
    if random.random() < 0.5:
        found = _mangle_cbor(data, random, 0)
        if found is not None:
            return found
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data = random.choice(WAYS)(data, sound, random)
    return data


def _mangle_cbor(data: bytes, random: Random, depth: int) -> bytes | None:
    """Change one value somewhere in *data*, or in CBOR within its byte strings; None where it is no CBOR."""
    try:
        value = cbor2.loads(data)
    except Exception:
        return None
    if depth > 3 or type(value) is not list or not value:
        return None
    return cbor2.dumps(_change(value, random, depth))


def _change(items: list[Any], random: Random, depth: int) -> list[Any]:
    place, items = random.randrange(len(items)), list(items)
    inner = items[place]
    if type(inner) is list and inner and random.random() < 0.7:
        items[place] = _change(inner, random, depth)
        return items
    if type(inner) is bytes and random.random() < 0.6:
        items[place] = _mangle_cbor(inner, random, depth + 1) or inner[: random.randrange(len(inner) + 1)] + b"\0"
        return items
    match random.randrange(6):
        case 0:
            del items[place]
        case 1:
            items.insert(place, inner)
        case 2:
            items[place] = items[random.randrange(len(items))]
        case 3 if type(inner) is int:
            items[place] = inner + random.choice((-1, 1, 2**32, -(2**63)))
        case 4:
            items[place] = [inner] * random.choice((1, 3, 100))
        case _:
            items[place] = random.choice(EDGES)
    return items


def _flip(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return b"\x80"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _set(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return (
        data[:place] + bytes([random.choice((0, 0x7F, 0x80, 0x9F, 0xBF, 0xFF, 0x9B, 0x5B, 0xDB))]) + data[place + 1 :]
    )


def _cut(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _lose(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    first = random.randrange(len(data) + 1)
    return data[:first] + data[first + random.choice((1, 2, 8, 64)) :]


def _double(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    first = random.randrange(len(data) + 1)
    piece = data[first : first + random.randrange(1, 64)]
    return data[:first] + piece * random.choice((2, 2, 20)) + data[first:] if len(data) < 2**20 else data


def _insert(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.randbytes(random.choice((1, 2, 9, 100))) + data[place:]


def _splice(data: bytes, sound: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(sound)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


WAYS: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    _flip, _flip, _set, _cut, _lose, _double, _insert, _splice,
)  # fmt: skip
