"""Meter profiles: which register holds which OBIS quantity, the requests that read them, exact integer decoding."""

from collections import namedtuple

from meter.errors import ConfigError, LineError
from meter.reading import ENERGY_EXPORT, ENERGY_IMPORT

ENERGY = (ENERGY_IMPORT, ENERGY_EXPORT)

Register = namedtuple("Register", ("code", "function", "address", "words", "type", "exponent"))
Request = namedtuple("Request", ("function", "address", "words", "registers"))
"""One Modbus request and the registers that its answer holds."""

_WORDS = {"float32": 2}
_MAX_INT64 = 2**63 - 1
_EXPONENT_BIAS = 150  # of an IEEE 754 binary32 whose mantissa is taken as a 24-bit integer: 127 + 23


class Profile:
    """The register map of one meter model."""

    def __init__(self, name, model, registers, max_words, max_gap_words):
        self.name = name
        self.model = model
        energy = [register for register in registers if register.code in ENERGY]
        self.boundary = merge(energy, max_words, max_gap_words)
        self.telemetry = merge(registers, max_words, max_gap_words)


def load(name):
    """Return the Profile called *name*; raises ConfigError if there is no such model."""
    if not name or any(not (letter.isalpha() or letter.isdigit() or letter == "_") for letter in name):
        raise ConfigError("profile {!r} is not a name: use one of the files in meter/profiles/".format(name))
    try:
        data = getattr(__import__("meter.profiles." + name).profiles, name)
        rows = data.REGISTERS
    except (ImportError, AttributeError):
        raise ConfigError("profile {!r} is unknown: use one of the files in meter/profiles/".format(name)) from None
    registers = [
        Register(code, function, address, _WORDS[kind], kind, exponent)
        for code, function, address, kind, exponent, _ in rows
    ]
    return Profile(name, data.MODEL, registers, data.MAX_WORDS, data.MAX_GAP_WORDS)


def merge(registers, max_words, max_gap_words):
    """Return the fewest requests that read *registers*: neighbours share one, unless a wide gap parts them."""
    requests = []
    for register in sorted(registers, key=lambda register: (register.function, register.address)):
        end = register.address + register.words
        last = requests[-1] if requests else None
        if (
            last
            and last.function == register.function
            and register.address - (last.address + last.words) <= max_gap_words
            and end - last.address <= max_words
        ):
            requests[-1] = Request(last.function, last.address, end - last.address, last.registers + (register,))
        else:
            requests.append(Request(register.function, register.address, register.words, (register,)))
    return tuple(requests)


def decode(request, data):
    """Return ((code, value), ...) of the registers in *data*, the answer's bytes; raises LineError for no number."""
    values = []
    for register in request.registers:
        place = 2 * (register.address - request.address)
        bits = int.from_bytes(data[place : place + 2 * register.words], "big")
        values.append((register.code, _checked(register, float32(bits, register.exponent))))
    return tuple(values)


def float32(bits, exponent):
    """Return the exact value of the IEEE 754 binary32 *bits* times 10^exponent (>= 0), truncated towards zero.

    Integer arithmetic only; None for infinities and NaN.
    """
    power = bits >> 23 & 0xFF
    mantissa = bits & 0x7FFFFF
    if power == 0xFF:
        return None
    if power:
        mantissa |= 0x800000
    else:
        power = 1
    shift = power - _EXPONENT_BIAS
    magnitude = mantissa * 10**exponent
    magnitude = magnitude << shift if shift >= 0 else magnitude >> -shift
    return -magnitude if bits >> 31 else magnitude


def _checked(register, value):
    if value is None or abs(value) > _MAX_INT64 or (value < 0 and register.code in ENERGY):
        raise LineError("register {} of the meter holds no usable number".format(register.address))
    return value
