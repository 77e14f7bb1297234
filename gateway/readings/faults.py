"""Faults: what is wrong at this moment, by where it is, gathered at most once in `MAX_AGE_S` however many ask.

An alarm (`gateway.checks.alarms`) is another thing: what a check found about a meter, kept with its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.readings.fresh import Fresh
from gateway.readings.overview import Overview

MAX_AGE_S: Final = 1.0


AREAS: Final = ("intake", "disk", "ledger", "restore", "chain", "meters")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong: `area` is one of `AREAS`; with intake, readings are not taken in.

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
        found = (
            self._overview.intake_faults(),
            self._overview.retention.faults(),
            self._overview.ledger_faults(),
            await self._overview.restore_faults(),
            await self._overview.chain_faults(),
            await self._overview.other_faults(),
        )
        return tuple(Fault(area, text) for area, texts in zip(AREAS, found, strict=True) for text in texts)
