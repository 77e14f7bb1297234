"""The plain language in which a user tells an agent what it may do for a meter. Pure, exact integers.

One sentence a line, each subject at most once; what is not said is left to the agent (`gateway.bidding.agent`):

    sell surplus at 3.20 or more      never sells for less; prices are AIP per kWh with up to six decimals
    sell nothing
    buy what is needed up to 4.10     never buys for more
    buy nothing
    keep 20 %                         so much of the forecast surplus is not offered
    follow the forecast               quantities from the meter's last days (the default)
    follow the last interval          quantities from its last intervals alone
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from ledger.genesis import MAX_PRICE_UAIP_PER_KWH

MAX_LINE_CHARACTERS: Final = 100
SENTENCES: Final = (
    "sell surplus at PRICE or more",
    "sell nothing",
    "buy what is needed up to PRICE",
    "buy nothing",
    "keep PERCENT %",
    "follow the forecast",
    "follow the last interval",
)
_UAIP_PER_AIP: Final = 1_000_000
_DECIMALS: Final = 6
_SLOTS: Final = {
    "PRICE": (
        re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?"),
        "a price in AIP per kWh such as 3.20, of six decimals at most",
    ),
    "PERCENT": (re.compile(r"[0-9]{1,2}|100"), "a whole number from 0 to 100"),
}


class InstructionError(ValueError):
    """A line is not understood, or contradicts another; the text, one line, says which word and what could be there."""


class Trade(Enum):
    """What is said of a side in place of a price."""

    NOTHING = "nothing"


class Source(StrEnum):
    """Which expectation an agent follows."""

    FORECAST = "the forecast"
    LAST_INTERVAL = "the last interval"


@dataclass(frozen=True, slots=True)
class Instructions:
    """What was said for one meter; None is what was not said. Prices are µAIP per kWh, `keep` is percent."""

    sell: int | Trade | None = None
    buy: int | Trade | None = None
    keep: int | None = None
    follow: Source | None = None

    def __str__(self) -> str:
        """Return the instructions as one reads them aloud, in one line."""
        return "; ".join(write(self))


def parse(lines: Sequence[str]) -> Instructions:
    """Return what *lines* say, in any order; raises InstructionError."""
    said: dict[str, int | Trade | Source] = {}
    for line in lines:
        subject, value = _parse_line(line)
        if subject in said:
            raise InstructionError(f'"{line}": another line says already what to {subject}; leave one of them')
        said[subject] = value
    return Instructions(**said)  # type: ignore[arg-type]  # each subject's sentences give values of its type alone


def write(instructions: Instructions) -> list[str]:
    """Return the canonical lines of *instructions*: `parse` makes the same of them again."""
    lines = []
    if instructions.sell is not None:
        lines.append(_write_side("sell", "surplus at {} or more", instructions.sell))
    if instructions.buy is not None:
        lines.append(_write_side("buy", "what is needed up to {}", instructions.buy))
    if instructions.keep is not None:
        lines.append(f"keep {instructions.keep} %")
    if instructions.follow is not None:
        lines.append(f"follow {instructions.follow}")
    return lines


def _parse_line(line: str) -> tuple[str, int | Trade | Source]:
    if len(line) > MAX_LINE_CHARACTERS:
        raise InstructionError(
            f'"{line[:40]}…": a line has {MAX_LINE_CHARACTERS} characters at most, write one sentence'
        )
    words = line.lower().replace("%", " % ").split()
    sentence = _find_sentence(line, words)
    return words[0], _read_value(line, words, sentence)


def _find_sentence(line: str, words: Sequence[str]) -> list[str]:
    """Return the sentence that *words* fill; raises InstructionError at the first word that fits none."""
    fitting = [sentence.split() for sentence in SENTENCES]
    for place, word in enumerate([*words, ""]):
        expected = [sentence[place] if place < len(sentence) else "" for sentence in fitting]
        fitting = [s for s, wanted in zip(fitting, expected, strict=True) if _fits(word, wanted)]
        if not fitting:
            raise InstructionError(_explain(line, words, place, expected))
    return fitting[0]


def _fits(word: str, wanted: str) -> bool:
    return _SLOTS[wanted][0].fullmatch(word) is not None if wanted in _SLOTS else word == wanted


def _explain(line: str, words: Sequence[str], place: int, expected: Sequence[str]) -> str:
    found = f'word {place + 1}, "{words[place]}",' if place < len(words) else "the end"
    possible = " or ".join(dict.fromkeys(_name(wanted) for wanted in expected))
    return f'"{line}": {found} should be {possible}; understood are: {"; ".join(SENTENCES)}'


def _name(wanted: str) -> str:
    if not wanted:
        return "the end"
    return _SLOTS[wanted][1] if wanted in _SLOTS else f'"{wanted}"'


def _read_value(line: str, words: Sequence[str], sentence: Sequence[str]) -> int | Trade | Source:
    if "PRICE" in sentence:
        return _read_price(line, words[sentence.index("PRICE")])
    if "PERCENT" in sentence:
        return int(words[sentence.index("PERCENT")])
    return Trade.NOTHING if words[1] == "nothing" else Source(" ".join(words[1:]))


def _read_price(line: str, text: str) -> int:
    whole, _, decimals = text.partition(".")
    price_uaip = int(whole) * _UAIP_PER_AIP + int(decimals.ljust(_DECIMALS, "0"))
    if price_uaip > MAX_PRICE_UAIP_PER_KWH:
        highest = _write_price(MAX_PRICE_UAIP_PER_KWH)
        raise InstructionError(
            f'"{line}": {text} is above the highest price of any ledger, {highest}; write a lower one'
        )
    return price_uaip


def _write_side(verb: str, sentence: str, said: int | Trade) -> str:
    return f"{verb} " + (said.value if isinstance(said, Trade) else sentence.format(_write_price(said)))


def _write_price(price_uaip: int) -> str:
    """Return the price in AIP with two decimals, and as many more as it takes to be exact."""
    whole, rest = divmod(price_uaip, _UAIP_PER_AIP)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals}"
