"""Faults: what is wrong at this moment, by where it is, gathered at most once in `MAX_AGE_S` however many ask.

An alarm (`gateway.checks.alarms`) is another thing: what a check found about a meter, kept with its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.readings.fresh import Fresh
from gateway.readings.overview import Overview

MAX_AGE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong: `area` is intake (readings are not taken in), disk, ledger, restore, chain or meters.

    `text` says what, and what to do.
    """

    area: str
    text: str


class Faults:
    """The faults of one gateway."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._newest = Fresh(self._gather, MAX_AGE_S)

    async def newest(self) -> tuple[Fault, ...]:
        """Return what is wrong, the worst first."""
        return await self._newest.get()

    async def _gather(self) -> tuple[Fault, ...]:
        faults = {
            "intake": self._overview.intake_faults(),
            "disk": self._overview.retention.faults(),
            "ledger": self._overview.ledger_faults(),
            "restore": await self._overview.restore_faults(),
            "chain": await self._overview.chain_faults(),
            "meters": await self._overview.other_faults(),
        }
        return tuple(Fault(area, text) for area, texts in faults.items() for text in texts)
