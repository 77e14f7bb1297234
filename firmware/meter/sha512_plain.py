"""The blocks of SHA-512 in plain integers, for CPython and for ports without a native code emitter."""

from meter.sha512_constants import INITIAL, ROUNDS

_MASK = 2**64 - 1
_BLOCK_BYTES = 128


def hash_blocks(padded):
    """Return the 64-byte digest of *padded*, whole blocks of 128 bytes."""
    state = _words(INITIAL)
    for start in range(0, len(padded), _BLOCK_BYTES):
        state = _compress(state, _schedule(padded[start : start + _BLOCK_BYTES]))
    return b"".join([word.to_bytes(8, "big") for word in state])


def _words(data):
    return [int.from_bytes(data[place : place + 8], "big") for place in range(0, len(data), 8)]


def _schedule(block):
    words = _words(block)
    for place in range(16, 80):
        early, late = words[place - 15], words[place - 2]
        twice_early, twice_late = early | early << 64, late | late << 64  # so that a shift right rotates
        words.append(
            (
                words[place - 16]
                + words[place - 7]
                + ((twice_early >> 1 ^ twice_early >> 8 ^ early >> 7) & _MASK)
                + ((twice_late >> 19 ^ twice_late >> 61 ^ late >> 6) & _MASK)
            )
            & _MASK
        )
    return words


def _compress(state, words):
    a, b, c, d, e, f, g, h = state
    for word, constant in zip(words, _CONSTANTS):  # noqa: B905  MicroPython's zip knows no strict
        twice = e | e << 64
        first = h + ((twice >> 14 ^ twice >> 18 ^ twice >> 41) & _MASK) + (g ^ e & (f ^ g)) + constant + word
        twice = a | a << 64
        second = ((twice >> 28 ^ twice >> 34 ^ twice >> 39) & _MASK) + (a & b | c & (a | b))
        h, g, f, e, d, c, b, a = g, f, e, (d + first) & _MASK, c, b, a, (first + second) & _MASK
    return [(old + new) & _MASK for old, new in zip(state, (a, b, c, d, e, f, g, h))]  # noqa: B905


_CONSTANTS = _words(ROUNDS)
