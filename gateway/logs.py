"""The gateway's log: one JSON object a line, or text on a terminal, each with its module and level."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from gateway.settings import LogSettings
from ledger.log_stream import STDERR

_LEVELS: Final = logging.getLevelNamesMapping()


def configure(settings: LogSettings) -> None:
    """Write log lines to stderr from now on, those that *settings* want."""
    is_text = sys.stderr.isatty() if settings.form == "auto" else settings.form == "text"
    levels = {module: _LEVELS[level.upper()] for module, level in settings.levels.items()}
    everywhere = _LEVELS[settings.level.upper()]
    logging.getLogger("nicegui").setLevel(logging.ERROR)  # it warns of each page that a visitor mistyped
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Sieve(everywhere, levels),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
            if is_text
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min((everywhere, *levels.values()))),
        logger_factory=structlog.PrintLoggerFactory(STDERR),
        cache_logger_on_first_use=True,
    )


class _Bridge(logging.Handler):
    """Makes of what a library logs a line like all others, whatever bytes are in it."""

    def emit(self, record: logging.LogRecord) -> None:
        write = structlog.get_logger().error if record.levelno >= logging.ERROR else structlog.get_logger().warning
        write(record.getMessage(), module=record.name, exc_info=record.exc_info)


class _Sieve:
    """Adds the module to each line, and drops those below its level: that of the longest name that it begins with."""

    def __init__(self, everywhere: int, levels: Mapping[str, int]) -> None:
        self._everywhere = everywhere
        self._levels = levels

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        module: str = event.get("module") or _find_caller()
        event["module"] = module
        if _LEVELS[event["level"].upper()] < self._level_of(module):
            raise structlog.DropEvent
        return event

    def _level_of(self, module: str) -> int:
        above = [name for name in self._levels if f"{module}.".startswith(f"{name}.")]
        return self._levels[max(above, key=len)] if above else self._everywhere


def _find_caller() -> str:
    """Return the module that logs: the first one up the stack that is neither structlog's nor this."""
    frame = sys._getframe(1)  # noqa: SLF001 - what logging itself does
    while frame.f_back is not None and _is_ours(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "?"))


def _is_ours(module: str) -> bool:
    return module == __name__ or module.partition(".")[0] == "structlog"
