"""Meter profiles: which register holds which OBIS quantity, the requests that read them, values as exact integers."""

from collections import namedtuple

from meter import registers
from meter.errors import ConfigError, LineError
from meter.reading import ENERGY_EXPORT, ENERGY_IMPORT

ENERGY = (ENERGY_IMPORT, ENERGY_EXPORT)
MAX_ROLL_OVER = 2**28
"""A 32-bit counter that stands lower than before has rolled over if it went at most this far, a 16th of its range;
else it was set back, and the reading says so."""

Request = namedtuple("Request", ("function", "address", "words", "registers"))
"""One Modbus request and the registers that its answer holds."""

_MAX_INT64 = 2**63 - 1
_ACCUMULATOR_RANGE = 2**32


class Profile:
    """The register map of one meter model.

    `boundary` and `telemetry` are the requests for the energies alone and for everything; those of a SunSpec device
    (`sunspec_model` is not None) are offsets until `at` binds them to where its model begins. `optional` codes may be
    missing in a variant, `absent` ones the model never counts: both read 0. `negated` codes change their sign: ours is
    positive when energy is drawn from the grid.
    """

    def __init__(self, name, data):
        self.name = name
        self.model = data.MODEL
        self.line = data.LINE
        self.max_words = data.MAX_WORDS
        self.max_gap_words = data.MAX_GAP_WORDS
        self.resolution_wh = data.RESOLUTION_WH
        self.identity = data.IDENTITY
        self.serial = data.SERIAL
        self.checks = getattr(data, "CHECKS", ())
        self.optional = getattr(data, "OPTIONAL", ())
        self.absent = getattr(data, "ABSENT", ())
        self.negated = getattr(data, "NEGATED", ())
        self.sunspec_model = getattr(data, "SUNSPEC_MODEL", None)
        self._offsets = self.registers = tuple([registers.register(*row[:5]) for row in data.REGISTERS])
        self._plan()

    def at(self, start):
        """Bind the registers to a SunSpec model that begins at register *start*."""
        self.registers = tuple([registers.moved(register, start) for register in self._offsets])
        self._plan()

    def narrow(self):
        """Read across no gap between registers any more, since the meter refuses that."""
        self.max_gap_words = 0
        self._plan()

    def _plan(self):
        energy = [register for register in self.registers if register.code in ENERGY]
        self.boundary = merge(energy, self.max_words, self.max_gap_words)
        self.telemetry = merge(self.registers, self.max_words, self.max_gap_words)


def load(name):
    """Return the Profile called *name*; raises ConfigError if there is no such model."""
    if not name or any(not (letter.isalpha() or letter.isdigit() or letter == "_") for letter in name):
        raise ConfigError("profile {!r} is not a name: use one of the files in meter/profiles/".format(name))
    try:
        return Profile(name, getattr(__import__("meter.profiles." + name).profiles, name))
    except (ImportError, AttributeError):
        raise ConfigError("profile {!r} is unknown: use one of the files in meter/profiles/".format(name)) from None


def merge(wanted, max_words, max_gap_words):
    """Return the fewest requests that read the registers *wanted*: neighbours share one, wide gaps part them.

    A scale factor is read in the request of the numbers that it scales.
    """
    requests = []
    for register in sorted(wanted, key=lambda register: (register.function, _extent(register))):
        first, end = _extent(register)
        last = requests[-1] if requests else None
        if last and last.function == register.function and first <= last.address + last.words + max_gap_words:
            low, high = min(first, last.address), max(end, last.address + last.words)
            if high - low <= max_words:
                requests[-1] = Request(last.function, low, high - low, last.registers + (register,))
                continue
        requests.append(Request(register.function, first, end - first, (register,)))
    return tuple(requests)


def decode(request, data, before=()):
    """Return [(register, (numerator, denominator) or None)] of the registers in *data*, the answer's bytes."""
    found = []
    for register in request.registers:
        exponent = register.exponent
        if register.scale is not None:
            scale = registers.signed16(_bits(request, data, register.scale, 1))
            if not -registers.MAX_SCALE <= scale <= registers.MAX_SCALE:
                found.append((register, None))
                continue
            exponent += scale
        place = 2 * (register.address - request.address)
        raw = data[place : place + 2 * register.words]
        value = registers.exact(register.type, raw, exponent)
        if register.type == "acc32" and value:
            value = unroll(value, exponent, dict(before).get(register.code, 0))
        found.append((register, value))
    return found


def unroll(value, exponent, before_wh):
    """Return the fraction *value* of a 32-bit counter with the turns added that it made until *before_wh*.

    Where it would have run more than MAX_ROLL_OVER counts since, it was set back: the value is then below *before_wh*.
    """
    numerator, denominator = value
    turn = _ACCUMULATOR_RANGE * 10**exponent if exponent >= 0 else _ACCUMULATOR_RANGE
    missing = before_wh * denominator - numerator
    if missing <= 0:
        return value
    turned = numerator + -(-missing // turn) * turn
    advance = turned - before_wh * denominator - (denominator - 1)  # *before_wh* was truncated: at least so far
    return (turned if advance * _ACCUMULATOR_RANGE <= MAX_ROLL_OVER * turn else turned - turn), denominator


def settle(profile, found, before=()):
    """Return ((code, value), ...) by ascending code for all that `decode` *found*; raises LineError for no number.

    Registers of one code (tariffs) are added up before the sum is truncated. A quantity that is no energy and that the
    meter has not, or that no reading could hold, is left out; an energy that this variant has not, and never had
    (*before*), reads 0.
    """
    sums = dict.fromkeys(profile.absent, (0, 1))
    for register, value in found:
        if value is None and register.code in profile.optional and not dict(before).get(register.code):
            value = (0, 1)
        if value is None:
            if register.code in ENERGY:
                raise LineError("register {} of the meter holds no usable number".format(register.address))
            continue
        numerator, denominator = sums.get(register.code, (0, 1))
        if register.code in profile.negated:
            value = (-value[0], value[1])
        sums[register.code] = (numerator * value[1] + value[0] * denominator, denominator * value[1])
    values = [(code, _checked(code, *value)) for code, value in sums.items()]
    return tuple(sorted([(code, value) for code, value in values if value is not None]))


def _extent(register):
    first, end = register.address, register.address + register.words
    if register.scale is None:
        return first, end
    return min(first, register.scale), max(end, register.scale + 1)


def _bits(request, data, address, count):
    place = 2 * (address - request.address)
    return int.from_bytes(data[place : place + 2 * count], "big")


def _checked(code, numerator, denominator):
    value = registers.truncate(numerator, denominator)
    if code not in ENERGY:
        return value if abs(value) <= _MAX_INT64 else None
    if value > _MAX_INT64 or numerator < 0:
        raise LineError("the meter's {}.{}.0 is no usable number".format(code // 100, code // 10 % 10))
    return value
