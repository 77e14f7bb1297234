"""What a meter's registers did from one of its readings to the next: did they rise, and could they. Pure.

Nothing is refused for it: the ledger decides what counts. Both findings are noted with the reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.intake.refusals import RefusalCode
from ledger.reading import ENERGY_EXPORT, ENERGY_IMPORT, Reading

MARGIN_PERCENT: Final = 105
SLACK_S: Final = 1
SLACK_WH: Final = 10
"""Margin and slack as on the ledger (`ledger.modules.market.intervals`)."""
_SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Registers:
    """A meter's energy registers in Wh under one of its numbers, at `time` (Unix seconds)."""

    sequence: int
    time: int
    import_wh: int
    export_wh: int


def registers_of(reading: Reading) -> Registers | None:
    """Return the registers in *reading*, or None where it carries none."""
    imported, exported = reading.register(ENERGY_IMPORT), reading.register(ENERGY_EXPORT)
    if imported is None:
        return None
    return Registers(reading.sequence, reading.time, imported, exported or 0)


def judge_step(before: Registers, after: Registers, rated_power_w: int) -> RefusalCode | None:
    """Return what is odd about the step from *before* to *after*, a later number of the same meter, or None."""
    imported, exported = after.import_wh - before.import_wh, after.export_wh - before.export_wh
    if imported < 0 or exported < 0:
        return RefusalCode.REGISTER_BACKWARDS
    if is_impossible(max(imported, exported), after.time - before.time, rated_power_w):
        return RefusalCode.IMPOSSIBLE_STEP
    return None


def is_impossible(energy_wh: int, elapsed_s: int, rated_power_w: int) -> bool:
    """Tell whether *energy_wh* is more than *rated_power_w* gives in *elapsed_s*.

    Where the meter's clock was set back meanwhile, nobody can tell.
    """
    if elapsed_s < 0:
        return False
    most = rated_power_w * (elapsed_s + SLACK_S) * MARGIN_PERCENT
    return (energy_wh - SLACK_WH) * _SECONDS_PER_HOUR * 100 > most
