"""Register images: what the words of a simulated meter say. A twin of the firmware's profiles that shares no code.

Layouts after the sources that `tests/data/register-maps.csv` names. Numbers become words by `struct`; energy stays an
exact fraction until then.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

FLOAT, DOUBLE = ">f", ">d"
KWH: Final = Fraction(1000)
DECI: Final = Fraction(1, 10)
CENTI: Final = Fraction(1, 100)
ONE: Final = Fraction(1)
SUNSPEC_BASE: Final = 40000
STRICT: Final = "strict"
"""The setting of a variant that refuses to read what no number of its own lies in."""
TARIFF_2_SHARE: Final = Fraction(1, 4)
"""The part of a meter's energy that it counted under tariff 2, where it has tariffs."""


@dataclass(frozen=True, slots=True)
class State:
    """What a meter shows: energies in Wh, power in W, voltages in V, and how it is set."""

    values: Mapping[str, Fraction]
    serial_number: int
    settings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Point:
    """One number: *quantity* of the state, in *unit* of Wh, W or V, as *layout* of struct says."""

    quantity: str
    address: int
    layout: str
    unit: Fraction = ONE
    low_word_first: bool = False

    def words(self, value: Fraction) -> dict[int, int]:
        """Return the words that show *value*."""
        scaled = value / self.unit
        raw = float(scaled) if self.layout in {FLOAT, DOUBLE} else int(scaled)
        if self.layout == ">I":
            raw %= 2**32
        return place(self.address, struct.pack(self.layout, raw), low_word_first=self.low_word_first)


@dataclass(frozen=True, slots=True)
class Image:
    """The registers of one model: `points` under each of `functions`, `fixed` holding registers below them.

    `filled` addresses read 0 where no point lies, unless the setting `strict` is on; others are refused.

    `serial` is (address, layout) of the serial number: a struct layout, or ASCII text of that many words; with
    `is_spaced` each word has one letter of it, in its low byte.
    `only_whole` refuses a request that begins or ends inside a number.
    """

    functions: frozenset[int]
    points: tuple[Point, ...]
    fixed: Mapping[int, bytes] = field(default_factory=dict)
    serial: tuple[int, str | int] | None = None
    only_whole: bool = False
    is_spaced: bool = False
    settings: Mapping[str, Mapping[int, bytes]] = field(default_factory=dict)
    filled: range = range(0)

    def words(self, function: int, state: State) -> dict[int, int]:
        """Return all words that *function* (3 or 4) reads, by address."""
        is_filled = function in self.functions and STRICT not in state.settings
        words = dict.fromkeys(self.filled if is_filled else (), 0)
        if function == 3:
            for address, data in self.fixed.items():
                words |= place(address, data)
        if function in self.functions:
            for point in self.points:
                words |= point.words(state.values[point.quantity])
        if function == 3:
            for address, data in self._set(state).items():
                words |= place(address, data)
        return words

    def cuts_number(self, first: int, count: int) -> bool:
        """Tell whether a request begins or ends inside a number and this model minds."""
        return self.only_whole and any(
            point.address < edge < point.address + struct.calcsize(point.layout) // 2
            for point in self.points
            for edge in (first, first + count)
        )

    def _set(self, state: State) -> dict[int, bytes]:
        """Return what the settings and the serial number put over the other registers."""
        over: dict[int, bytes] = {}
        for setting in state.settings:
            over |= self.settings.get(setting, {})
        if self.serial is not None:
            address, layout = self.serial
            number = state.serial_number
            if isinstance(layout, str):
                over[address] = struct.pack(layout, number)
            else:
                over[address] = spaced(str(number), layout) if self.is_spaced else text(str(number), layout)
        return over


def place(address: int, data: bytes, *, low_word_first: bool = False) -> dict[int, int]:
    """Return the words of *data* from *address* on."""
    words = struct.unpack(f">{len(data) // 2}H", data)
    return dict(enumerate(reversed(words) if low_word_first else words, address))


def text(value: str, words: int) -> bytes:
    """Return *value* as ASCII in *words* registers, padded with zeros."""
    return value.encode("ascii").ljust(2 * words, b"\0")


def spaced(value: str, words: int) -> bytes:
    """Return the last *words* letters of *value*, each as ASCII in the low byte of a register."""
    return b"".join(bytes((0, letter)) for letter in value[-words:].encode("ascii").ljust(words, b"\0"))


def volts(first: int, layout: str, unit: Fraction = ONE, step: int = 2, *, low_word_first: bool = False) -> list[Point]:
    """Return the three phase voltages, *step* registers apart."""
    return [Point(f"voltage_l{n + 1}", first + step * n, layout, unit, low_word_first) for n in range(3)]
