"""One meter: the real firmware under a real MicroPython, and what it says of its own work."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hil.errors import ProcessError
from hil.resources.process import ChildProcess

STOP_MARGIN_S: Final = 10.0
"""What a meter gets beyond its own drain time before it is killed."""


@dataclass(slots=True)
class MeterLog:
    """What a meter said on its standard output, one JSON object a line."""

    signed: set[int] = field(default_factory=set)
    signed_twice: set[int] = field(default_factory=set)
    receipted: int = 0
    errors: list[str] = field(default_factory=list)
    started: bool = False
    last_word: dict[str, Any] | None = None

    def note(self, line: bytes) -> None:
        """Take in one line; what is not a JSON object with an `event` counts as an error."""
        try:
            event = json.loads(line)
            self._take(event["event"], event)
        except (ValueError, KeyError, TypeError):
            self.errors.append(line.decode(errors="replace"))

    def _take(self, name: str, event: dict[str, Any]) -> None:
        match name:
            case "started":
                self.started = True
            case "signed":
                sequence = int(event["sequence"])
                (self.signed_twice if sequence in self.signed else self.signed).add(sequence)
            case "receipted":
                self.receipted = max(self.receipted, int(event["sequence"]))
            case "error":
                self.errors.append(str(event["text"]))
            case "stopped":
                self.last_word = event


class MeterProcess:
    """A meter of the campus as a process."""

    def __init__(self, meter_id: bytes, label: str, command: list[str], config: Path) -> None:
        self.meter_id = meter_id
        self.label = label
        self.log = MeterLog()
        arguments = [*command, "run", "--config", str(config)]
        self.child = ChildProcess(f"meter {label}", arguments, config.with_name("meter.log"), self.log.note)

    def start(self) -> None:
        """Start the meter."""
        self.child.start()

    async def drain(self, drain_s: float) -> int:
        """Have the meter stop reading, wait until all is receipted or *drain_s* passed, and return what it signed.

        Raises ProcessError where it does not end by itself, or its last word contradicts what it said before.
        """
        self.child.write_line("stop")
        try:
            code = await self.child.wait(drain_s + STOP_MARGIN_S)
        except TimeoutError as error:
            raise ProcessError(f"meter {self.label!r} did not stop within {drain_s + STOP_MARGIN_S:.0f} s") from error
        if code != 0 or self.log.last_word is None:
            raise ProcessError(f"meter {self.label!r} ended with code {code}: {self.child.log_tail()}")
        signed = int(self.log.last_word["signed"])
        if signed != len(self.log.signed):
            raise ProcessError(
                f"meter {self.label!r} says it signed {signed} readings but told of {len(self.log.signed)}"
            )
        return signed

    async def stop(self, grace_s: float) -> None:
        """End the meter, by force after *grace_s*."""
        await asyncio.shield(self.child.stop(grace_s))
