"""What the checks may find: the one list of alarm codes, each with its text and the next step.

A finding flags an interval and raises an alarm; so does a sighting, of signed evidence against a meter, which flags
nothing. Neither edits a number or holds a report back: the ledger decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.intake import refusals
from gateway.intake.refusals import Explanation, RefusalCode

ALARM_STATES: Final = ("open", "acknowledged", "closed")
STANDING: Final = ("open", "acknowledged")


class AlarmCode(StrEnum):
    """What is physically odd about an interval, or what a meter's own signatures say against it."""

    RATED_POWER = "rated_power"
    NIGHT_GENERATION = "night_generation"
    STANDSTILL = "standstill"
    REPEATED_VALUE = "repeated_value"
    FEEDER_BALANCE = "feeder_balance"
    FORK = "fork"
    OFF_CHAIN = "off_chain"
    BOUNDARY_TIME = "boundary_time"
    EPOCH_TWICE = "epoch_twice"
    RESET = "reset"
    KEY_ROTATED = "key_rotated"
    METER_REPLACED = "meter_replaced"

    @property
    def closes_itself(self) -> bool:
        """Tell whether a later interval that is well ends the alarm; what was signed once stands until it is closed."""
        return self not in OF_EVIDENCE.values()


OF_EVIDENCE: Final = {code: AlarmCode[code.name] for code in RefusalCode if code.is_signed and not code.is_note}
"""The alarm that each kind of refused reading raises whose signature is good."""
EXPLANATIONS: Final = {
    **{alarm: refusals.EXPLANATIONS[refusal] for refusal, alarm in OF_EVIDENCE.items()},
    AlarmCode.RATED_POWER: Explanation(
        "More energy than the meter's rated power gives in that time.",
        "Compare the meter's display and its rating in the roster; the ledger holds the energy until it is released.",
    ),
    AlarmCode.NIGHT_GENERATION: Explanation(
        "A photovoltaic meter measured export while the sun was well below the horizon.",
        "Check the wiring of import and export, whether a battery feeds this meter, and its clock.",
    ),
    AlarmCode.STANDSTILL: Explanation(
        "The energy registers did not move although the meter stated power all the time.",
        "Read the meter's display: its registers, or what the device reads of them, stand still.",
    ),
    AlarmCode.REPEATED_VALUE: Explanation(
        "A photovoltaic meter measured exactly the same energy in several epochs on end.",
        "Compare with the inverter's display: the meter, or what stands between, repeats an old value.",
    ),
    AlarmCode.FEEDER_BALANCE: Explanation(
        "The meters behind a feeder do not add up to what the feeder meter measured.",
        "Look for a load without a meter, a bypass or a wrong current transformer behind this feeder.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found about a meter's interval that starts with `epoch`; `evidence` are its numbers, by name."""

    meter_id: bytes
    epoch: int
    epochs: int
    code: AlarmCode
    evidence: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A refused reading that its meter signed; `epoch` is when it came, `evidence` says where to find it."""

    meter_id: bytes
    epoch: int
    code: AlarmCode
    evidence: Mapping[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one check about one interval: `finding` is None where all is well.

    Checks that cannot tell (no site, no power stated) give no verdict at all, and an open alarm stays open.
    """

    meter_id: bytes
    epoch: int
    code: AlarmCode
    finding: Finding | None
