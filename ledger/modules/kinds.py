"""The kinds of argument that calls and queries take: each says what it accepts, and how a person writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from ledger import cbor

MAX_AMOUNT: Final = 10**38
MAX_EPOCH: Final = 2**32 - 1
MAX_RATED_POWER_W: Final = 10**8
MAX_TEXT_CHARACTERS: Final = 40
_HIDDEN: Final = ((0, 31), (127, 159), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF))
MAX_READINGS_PER_REPORT: Final = 600
MAX_REFERENCE_CHARACTERS: Final = 64
MAX_TIME_MS: Final = 2**53 - 1
MAX_HEIGHT: Final = 2**63 - 1
_MAX_DIGITS: Final = 42
"""More than any argument has: a longer text is no number, and is never made into one."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A byte string of `lowest` to `highest` bytes."""

    lowest: int
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"{self.lowest} bytes" if self.lowest == self.highest else f"{self.lowest} to {self.highest} bytes"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is bytes and self.lowest <= len(value) <= self.highest

    def parse(self, text: str) -> bytes:
        """Return the value that *text* writes in hex; raises ValueError."""
        return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from `lowest` to `highest`."""

    lowest: int
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"an integer from {self.lowest} to {self.highest}"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is int and self.lowest <= value <= self.highest

    def parse(self, text: str) -> int:
        """Return the value that *text* writes in decimal; raises ValueError."""
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
            raise ValueError(f"{text[:_MAX_DIGITS]!r} is no integer")
        return int(text)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of 1 to `highest` characters, none of which hides or turns what stands beside it."""

    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"a text of 1 to {self.highest} characters"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is str and 0 < len(value) <= self.highest and not any(map(_is_hidden, value))

    def parse(self, text: str) -> str:
        """Return *text* itself."""
        return text


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return "true or false"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is bool

    def parse(self, text: str) -> bool:
        """Return whether *text* is true; raises ValueError where it is not false either."""
        if text not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text == "true"


@dataclass(frozen=True, slots=True)
class Many:
    """A list of 1 to `highest` items of one kind."""

    item: Bytes | Text
    highest: int

    def __str__(self) -> str:
        """Say it as the calls' documentation does."""
        return f"a list of 1 to {self.highest} items of {self.item}"

    def accepts(self, value: cbor.Value) -> bool:
        """Tell whether *value* is such an argument."""
        return type(value) is list and 0 < len(value) <= self.highest and all(map(self.item.accepts, value))

    def parse(self, text: str) -> list[bytes | str]:
        """Return the items that *text* writes with commas between them; raises ValueError."""
        return [self.item.parse(part.strip()) for part in text.split(",")]


Kind = Bytes | Integer | Text | Flag | Many

AccountId = Annotated[bytes, Bytes(8, 8)]
MeterId = Annotated[bytes, Bytes(8, 8)]
OrderId = Annotated[bytes, Bytes(8, 8)]
PublicKey = Annotated[bytes, Bytes(32, 32)]
Amount = Annotated[int, Integer(1, MAX_AMOUNT)]
AmountOrNone = Annotated[int, Integer(0, MAX_AMOUNT)]
Epoch = Annotated[int, Integer(0, MAX_EPOCH)]
RatedPower = Annotated[int, Integer(1, MAX_RATED_POWER_W)]
Price = Annotated[int, Integer(0, 2**63 - 1)]
Quantity = Annotated[int, Integer(0, 2**63 - 1)]
Label = Annotated[str, Text(MAX_TEXT_CHARACTERS)]
Reference = Annotated[str, Text(MAX_REFERENCE_CHARACTERS)]
TimeMs = Annotated[int, Integer(0, MAX_TIME_MS)]
Height = Annotated[int, Integer(0, MAX_HEIGHT)]
Secret = Annotated[bytes, Bytes(32, 32)]
KeyId = Annotated[bytes, Bytes(8, 8)]
Sequence = Annotated[int, Integer(1, 2**32 - 1)]
Boolean = Annotated[bool, Flag()]
READING: Final = Bytes(1, 180)
STATEMENT: Final = Bytes(1, 512)
READINGS: Final = Many(Bytes(0, 1024), MAX_READINGS_PER_REPORT)
Signed = Annotated[bytes, STATEMENT]
ReadingEnvelope = Annotated[bytes, READING]
ReadingEnvelopes = Annotated[list[bytes], READINGS]
MeterIds = Annotated[list[bytes], Many(Bytes(8, 8), 10)]


def _is_hidden(character: str) -> bool:
    """Tell control, line and direction characters; by number, for Python's own tables differ between its versions."""
    return any(first <= ord(character) <= last for first, last in _HIDDEN)
