"""What the checks may find: the one list of alarm codes, each with its text and the next step.

A finding flags an interval and raises an alarm. It never edits a number and holds no report back: the ledger decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.intake.refusals import Explanation

ALARM_STATES: Final = ("open", "acknowledged", "closed")
STANDING: Final = ("open", "acknowledged")


class AlarmCode(StrEnum):
    """What is physically odd about an interval."""

    RATED_POWER = "rated_power"
    NIGHT_GENERATION = "night_generation"
    STANDSTILL = "standstill"
    REPEATED_VALUE = "repeated_value"
    FEEDER_BALANCE = "feeder_balance"


EXPLANATIONS: Final = {
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
class Verdict:
    """The answer of one check about one interval: `finding` is None where all is well.

    Checks that cannot tell (no site, no power stated) give no verdict at all, and an open alarm stays open.
    """

    meter_id: bytes
    epoch: int
    code: AlarmCode
    finding: Finding | None
