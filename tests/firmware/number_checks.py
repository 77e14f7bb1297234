"""Checks of number decoding that run alike on CPython and under MicroPython."""

import json

from meter import registers


def check_numbers(path: str) -> int:
    """Decode every case of the JSON file at *path*: [type, hex of the words, exponent, whole part or null]."""
    with open(path) as file:  # noqa: PTH123
        cases = json.load(file)
    for kind, words, exponent, whole in cases:
        value = registers.exact(kind, bytes.fromhex(words), exponent)
        assert (None if value is None else str(registers.truncate(*value))) == whole, (kind, words, exponent, value)
    return len(cases)
