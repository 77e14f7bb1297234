"""What the words of a register say, by CPython's struct and fractions: the twin that the firmware is held against."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction

FORMATS = {
    "uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q",
    "float32": ">f", "float64": ">d", "acc32": ">I", "magnitude32": ">i",
}  # fmt: skip
KINDS = [kind + order for kind in FORMATS for order in ("", "le")]


def size(kind: str) -> int:
    """Return the bytes of a number of *kind*."""
    return struct.calcsize(FORMATS[kind.removesuffix("le")])


def value(kind: str, data: bytes) -> Fraction | None:
    """Return the number of *kind* in the register bytes *data*; None where it stands for none."""
    plain = kind.removesuffix("le")
    if plain != kind:
        words = struct.unpack(f">{len(data) // 2}H", data)
        data = struct.pack(f">{len(words)}H", *reversed(words))
    (number,) = struct.unpack(FORMATS[plain], data)
    if plain.startswith("float"):
        return Fraction(number) if math.isfinite(number) else None
    bits = 8 * len(data)
    ones, ends = (2**bits - 1,), (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    nothing = {"u": ones, "a": ones, "i": ends, "m": ends}
    if number in nothing[plain[0]]:
        return None
    return Fraction(abs(number) if plain == "magnitude32" else number)


def whole(kind: str, data: bytes, exponent: int) -> int | None:
    """Return the number times 10^*exponent*, truncated towards zero."""
    number = value(kind, data)
    return None if number is None else math.trunc(number * Fraction(10) ** exponent)


def cases(count: int) -> list[tuple[str, str, int, str | None]]:
    """Return *count* cases for each type: edges first, then random words, always the same."""
    chance = random.Random(20)
    made = []
    for kind in KINDS:
        edges = [
            bytes(size(kind)),
            b"\xff" * size(kind),
            b"\x80" + bytes(size(kind) - 1),
            b"\x7f" + b"\xff" * (size(kind) - 1),
        ]
        edges += [
            bytes.fromhex(text)
            for text in ("7f800000", "ff800000", "7fc00000", "00000001", "4cbebc20")
            if size(kind) == 4
        ]
        for place in range(count):
            data = edges[place] if place < len(edges) else chance.randbytes(size(kind))
            exponent = chance.randint(-10, 6)
            number = whole(kind, data, exponent)
            made.append((kind, data.hex(), exponent, None if number is None else str(number)))
    return made
