"""Registers: what their words say, exactly. Integers only: a value is a fraction (numerator, denominator)."""

from collections import namedtuple

Register = namedtuple("Register", ("code", "function", "address", "words", "type", "exponent", "scale"))
"""One number in the meter: `exponent` is the power of ten from the meter's unit to ours; `scale` the address of the
register that holds a further power of ten (SunSpec), or None."""

MAX_SCALE = 10
"""SunSpec's scale factors lie within ±10."""

_WORDS = {
    "uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4,
    "float32": 2, "float64": 4, "acc32": 2, "magnitude32": 2,
}  # fmt: skip
_LITTLE = "le"
_FLOATS = {"float32": (8, 23), "float64": (11, 52)}
"""Bits of the exponent and of the mantissa in IEEE 754 binary32 and binary64."""


def register(code, function, address, kind, exponent):
    """Return the Register that a profile's row describes.

    *kind* is a type, `le` behind it for low word first, `@N` behind that for a scale factor in register N.
    """
    kind, _, scale = kind.partition("@")
    return Register(code, function, address, words(kind), kind, exponent, int(scale) if scale else None)


def moved(old, start):
    """Return register *old* with its addresses counted from *start*."""
    scale = None if old.scale is None else old.scale + start
    return Register(old.code, old.function, old.address + start, old.words, old.type, old.exponent, scale)


def words(kind):
    """Return how many 16-bit registers a number of *kind* takes."""
    return _WORDS[_plain(kind)]


def bits_of(kind, data):
    """Return the bits of a number of *kind*, most significant first, in the register bytes *data*."""
    if kind.endswith(_LITTLE):
        data = b"".join([data[place : place + 2] for place in range(len(data) - 2, -1, -2)])
    return int.from_bytes(data, "big")


def exact(kind, data, exponent):
    """Return (numerator, denominator) of the number of *kind* in *data* times 10^*exponent*; None where it is none.

    No number: NaN, infinities, and the patterns by which meters say "not available": all ones in an unsigned type and
    in a counter that rolls over, the least or greatest value of a signed one.
    """
    bits = bits_of(kind, data)
    plain = _plain(kind)
    numerator, denominator = _float(bits, *_FLOATS[plain]) if plain in _FLOATS else (_integer(plain, bits), 1)
    if numerator is None:
        return None
    return (numerator * 10**exponent, denominator) if exponent >= 0 else (numerator, denominator * 10**-exponent)


def truncate(numerator, denominator):
    """Return the whole part of a fraction, towards zero."""
    return -(-numerator // denominator) if numerator < 0 else numerator // denominator


def signed16(bits):
    """Return the 16-bit two's complement number *bits*."""
    return bits - 0x10000 if bits & 0x8000 else bits


def _plain(kind):
    return kind[: -len(_LITTLE)] if kind.endswith(_LITTLE) else kind


def _integer(plain, bits):
    width = 16 * _WORDS[plain]
    if plain[0] == "u" or plain == "acc32":
        return None if bits == (1 << width) - 1 else bits
    sign = 1 << (width - 1)
    if bits in (sign, sign - 1):
        return None
    value = bits - (1 << width) if bits & sign else bits
    return abs(value) if plain == "magnitude32" else value


def _float(bits, exponent_bits, mantissa_bits):
    power = bits >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = bits & (1 << mantissa_bits) - 1
    if power == (1 << exponent_bits) - 1:
        return None, 1
    if power:
        mantissa |= 1 << mantissa_bits
    else:
        power = 1
    if bits >> (exponent_bits + mantissa_bits):
        mantissa = -mantissa
    shift = power - (1 << (exponent_bits - 1)) + 1 - mantissa_bits
    return (mantissa << shift, 1) if shift >= 0 else (mantissa, 1 << -shift)
