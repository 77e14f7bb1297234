"""The log of a node: one JSON object a line, or text on a terminal, with a level for each part.

A part is a piece of the node (`consensus`, `peers`, …) or a module of the ledger (`market`, …), which says at debug
what its events were in each decided block.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.log_stream import STDERR
from ledger.modules import MODULES

LEVELS: Final = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error", "critical")}
PARTS: Final = frozenset({
    "admission", "api", "arrival", "client", "consensus", "liveness", "node", "peers", "process", "pruning", "reader",
    "rejoining", "snapshots", "witness", "witnesses", *(module.name for module in MODULES),
})  # fmt: skip
DEFAULT: Final = "info"


@dataclass(frozen=True, slots=True)
class LogLevels:
    """From which level on lines are written: everywhere, and of the parts that have one of their own."""

    everywhere: int = logging.INFO
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def lowest(self) -> int:
        """The lowest of all."""
        return min((self.everywhere, *self.parts.values()))

    def of(self, part: str) -> int:
        """Return the level of *part*."""
        return self.parts.get(part, self.everywhere)


def parse_levels(text: str) -> LogLevels:
    """Return what *text* such as "info,market=debug" asks for; raises ValueError with what may be written."""
    everywhere, parts = LEVELS[DEFAULT], {}
    for word in text.split(","):
        part, equals, level = word.strip().rpartition("=")
        if level not in LEVELS:
            raise ValueError(f"there is no log level {level!r}: write one of {', '.join(LEVELS)}, or PART=LEVEL")
        if not equals:
            everywhere = LEVELS[level]
        elif part in PARTS:
            parts[part] = LEVELS[level]
        else:
            raise ValueError(f"nothing logs as {part!r}: the parts are {', '.join(sorted(PARTS))}")
    return LogLevels(everywhere, parts)


def configure(levels: LogLevels) -> None:
    """Write the lines that *levels* let through to stderr from now on."""
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Sieve(levels),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels.lowest),
        logger_factory=_PartLogger,
        cache_logger_on_first_use=True,
    )


class _PartLogger(structlog.PrintLogger):
    """Writes to stderr, and knows for which part."""

    def __init__(self, part: str = "") -> None:
        super().__init__(STDERR)
        self.part = part


class _Sieve:
    """Adds the part to each line, and drops those below its level."""

    def __init__(self, levels: LogLevels) -> None:
        self._levels = levels

    def __call__(self, logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if LEVELS[event["level"]] < self._levels.of(logger.part):
            raise structlog.DropEvent
        event["part"] = logger.part
        return event
