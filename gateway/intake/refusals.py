"""Why the gateway refuses a message, or notes something about it: the one list of reason codes.

A refusal is an ordinary value. Codes below 16 are for bytes that nobody is proven to have signed: they go to the
bounded quarantine. Codes from 16 on are for readings that the meter did sign: these are kept like good ones. Codes
from 32 on refuse nothing: such a reading counts, and the code says what somebody should look at.
Receipts carry the numbers, so a code keeps its meaning for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FIRST_SIGNED_CODE: Final = 16
FIRST_NOTED_CODE: Final = 32


class RefusalCode(IntEnum):
    """Why a message was refused, or what was noted about it."""

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
    RESET = 20
    KEY_ROTATED = 21
    METER_REPLACED = 22
    GAP = 32
    REPLAY = 33
    REGISTER_BACKWARDS = 34
    IMPOSSIBLE_STEP = 35

    @property
    def is_signed(self) -> bool:
        """Tell whether the meter's signature on the reading is good."""
        return self >= FIRST_SIGNED_CODE

    @property
    def is_note(self) -> bool:
        """Tell whether the reading counts all the same."""
        return self >= FIRST_NOTED_CODE

    @property
    def counter(self) -> str:
        """The name under which it is counted."""
        return f"{'noted' if self.is_note else 'refused'}.{self.name}"


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
    RefusalCode.RESET: Explanation(
        "The meter began a new chain under numbers that it has used up already: it forgot its storage.",
        "It goes on behind its old numbers by itself when it gets the receipt; if it does not, look at its flash.",
    ),
    RefusalCode.KEY_ROTATED: Explanation(
        "The meter's key does not hold for this number: the roster says that it was rotated before or after.",
        "If the meter still signs with the old key, rotate it again; if it never should, treat the key as stolen.",
    ),
    RefusalCode.METER_REPLACED: Explanation(
        "The device's key does not hold for this number: the roster says that the device was replaced.",
        "Take the old device off the network; a new one goes on behind the old numbers when it gets the receipt.",
    ),
    RefusalCode.GAP: Explanation(
        "Readings follow others that have not come yet; no receipt passes the gap.",
        "Nothing, unless /health names the meter: then its earlier readings are lost, here or there.",
    ),
    RefusalCode.REPLAY: Explanation(
        "The reading is stored already, byte for byte; it was answered with a receipt and dropped.",
        "Nothing: a meter without a receipt sends again. A steep rise means that receipts do not reach the meters.",
    ),
    RefusalCode.REGISTER_BACKWARDS: Explanation(
        "A register is below what the meter signed before; energy below the old mark counts zero on the ledger.",
        "Was the electricity meter exchanged or reset? An admin sets its new baseline (rebase).",
    ),
    RefusalCode.IMPOSSIBLE_STEP: Explanation(
        "A register rose by more than the meter's rated power gives in that time; the ledger holds the energy.",
        "Compare the meter's display; an admin and an authority release the energy if it is right.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that nobody is proven to have signed, as it came, with the reason why it is not a reading."""

    code: RefusalCode
    topic: str
    raw: bytes
