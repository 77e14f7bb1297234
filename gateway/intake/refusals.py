"""Why the gateway refuses a message: the one list of reason codes, each with its text and the next step.

A refusal is an ordinary value. Codes below 16 are for bytes that nobody is proven to have signed: they go to the
bounded quarantine. Codes from 16 on are for readings that the meter did sign: these are kept like good ones.
Receipts carry the numbers, so a code keeps its meaning for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FIRST_SIGNED_CODE: Final = 16


class RefusalCode(IntEnum):
    """Why a message was refused."""

    MALFORMED = 1
    OVERSIZED = 2
    BAD_TOPIC = 3
    UNKNOWN_METER = 4
    UNKNOWN_KEY = 5
    WRONG_METER = 6
    BAD_SIGNATURE = 7
    FORK = 16
    OFF_CHAIN = 17
    BOUNDARY_TIME = 18
    EPOCH_TWICE = 19

    @property
    def is_signed(self) -> bool:
        """Tell whether the meter's signature on the refused reading is good."""
        return self >= FIRST_SIGNED_CODE


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, and what whoever looks after the gateway does about it."""

    text: str
    next_step: str


EXPLANATIONS: Final = {
    RefusalCode.MALFORMED: Explanation(
        "The message is not the canonical encoding of a reading.",
        "Compare the meter's firmware version with firmware/protocol/PROTOCOL.md and update it.",
    ),
    RefusalCode.OVERSIZED: Explanation(
        "The message is longer than a reading can be.",
        "Find out who publishes on this topic; a meter never sends more than 180 bytes.",
    ),
    RefusalCode.BAD_TOPIC: Explanation(
        "The topic is not meter/<16 hex digits>/reading.",
        "Check the broker's access list: only the meters' own topics may be written.",
    ),
    RefusalCode.UNKNOWN_METER: Explanation(
        "The topic names a meter that the roster does not have.",
        "Enrol the meter and start the gateway with the new roster, or take its broker account away.",
    ),
    RefusalCode.UNKNOWN_KEY: Explanation(
        "The reading names a key that no enrolled meter has.",
        "If the meter was replaced or its key changed, enrol the new key; else treat it as an intrusion.",
    ),
    RefusalCode.WRONG_METER: Explanation(
        "The reading names the key of another meter than the one its topic names.",
        "Check which of the two devices holds the broker account of the other.",
    ),
    RefusalCode.BAD_SIGNATURE: Explanation(
        "The signature is not the meter's.",
        "Look at the meter: damaged memory or an intruder; nothing of this message was used.",
    ),
    RefusalCode.FORK: Explanation(
        "The meter signed two different readings under one number; the first one stands.",
        "Was the meter's flash restored from a copy? An admin inspects the evidence and clears the fork.",
    ),
    RefusalCode.OFF_CHAIN: Explanation(
        "The meter signed a reading that its own chain of later readings passes by.",
        "Was the meter's flash restored from a copy? An admin inspects the evidence.",
    ),
    RefusalCode.BOUNDARY_TIME: Explanation(
        "A boundary reading was taken too far from the boundary of its epoch.",
        "Check the meter's clock; its interval becomes a gap until the next boundary.",
    ),
    RefusalCode.EPOCH_TWICE: Explanation(
        "The meter signed a second, different boundary reading for one epoch; the first one stands.",
        "Was the meter's flash restored from a copy? An admin inspects the evidence.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that nobody is proven to have signed, as it came, with the reason why it is not a reading."""

    code: RefusalCode
    topic: str
    raw: bytes
