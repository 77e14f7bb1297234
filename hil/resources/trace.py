"""Measured 15-minute series, and the schedule of power that a virtual meter takes from one of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hil.errors import TraceError

SLOT: Final = timedelta(minutes=15)
SLOTS_PER_HOUR: Final = 4
NS_PER_S: Final = 1_000_000_000
_COLUMNS: Final = ("start_utc", "meter", "wh")


@dataclass(frozen=True, slots=True)
class Trace:
    """Energy per 15-minute slot in Wh, by name of series; every series covers the same slots, the first at `start`."""

    start: datetime
    energy_wh: dict[str, tuple[int, ...]]

    def slot(self, time: datetime) -> int:
        """Return the index of the slot that holds *time*; raises TraceError outside of the trace."""
        index = (time - self.start) // SLOT
        length = len(next(iter(self.energy_wh.values())))
        if not 0 <= index < length:
            raise TraceError(f"the trace covers {length} slots from {self.start.isoformat()}, not {time.isoformat()}")
        return index

    def power_w(self, series: str, permille: int) -> tuple[int, ...]:
        """Return the mean power of every slot of *series*, scaled to *permille* thousandths, in whole W."""
        if series not in self.energy_wh:
            raise TraceError(f"the trace has no series {series!r}, only {', '.join(sorted(self.energy_wh))}")
        return tuple(energy_wh * SLOTS_PER_HOUR * permille // 1000 for energy_wh in self.energy_wh[series])


@dataclass(frozen=True, slots=True)
class Schedule:
    """The power of one meter over time: epoch e takes slot `first_slot + (e - first_epoch)`, for ever round and round.

    `power_w` has one value a slot, in W: positive is import, negative export. An epoch lasts `epoch_s` seconds,
    whatever the slots of the source lasted: power is taken from the trace, time is real.
    """

    power_w: tuple[int, ...]
    first_slot: int
    first_epoch: int
    epoch_s: int

    def power_at(self, time_ns: int) -> int:
        """Return the power in W at Unix time *time_ns*."""
        return self._power_of(time_ns // (self.epoch_s * NS_PER_S))

    def energy_w_ns(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Return import and export between two Unix times in W·ns (3.6·10^12 of them are a Wh), exactly."""
        length_ns = self.epoch_s * NS_PER_S
        imported = exported = 0
        for epoch in range(start_ns // length_ns, -(-end_ns // length_ns)):
            elapsed_ns = min(end_ns, (epoch + 1) * length_ns) - max(start_ns, epoch * length_ns)
            power_w = self._power_of(epoch)
            imported += max(power_w, 0) * elapsed_ns
            exported += max(-power_w, 0) * elapsed_ns
        return imported, exported

    def _power_of(self, epoch: int) -> int:
        return self.power_w[(self.first_slot + epoch - self.first_epoch) % len(self.power_w)]


def load(path: Path) -> Trace:
    """Read a trace from a CSV file with the columns start_utc, meter and wh (empty: the value before is held)."""
    series: dict[str, dict[datetime, int | None]] = {}
    try:
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                time, meter, energy = (row[column] for column in _COLUMNS)
                moment = datetime.fromisoformat(time).astimezone(UTC)
                series.setdefault(meter, {})[moment] = int(energy) if energy else None
    except OSError as error:
        raise TraceError(
            f"cannot read the trace {path}: {error.strerror}. Run from a checkout of campusgrid."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise TraceError(f"{path} is not a trace with the columns {', '.join(_COLUMNS)}: {error}") from error
    return _build(path, series)


def _build(path: Path, series: dict[str, dict[datetime, int | None]]) -> Trace:
    times = [tuple(sorted(values)) for values in series.values()]
    if not times or any(other != times[0] for other in times):
        raise TraceError(f"{path}: the series do not cover the same slots")
    expected = tuple(times[0][0] + place * SLOT for place in range(len(times[0])))
    if times[0] != expected:
        raise TraceError(f"{path}: the slots are not 15 minutes apart without a hole")
    held = {name: _hold([values[time] for time in expected]) for name, values in series.items()}
    return Trace(expected[0], held)


def _hold(values: list[int | None]) -> tuple[int, ...]:
    """Return *values* with each missing one replaced by the one before (0 where none is before)."""
    held: list[int] = []
    for value in values:
        held.append(value if value is not None else (held[-1] if held else 0))
    return tuple(held)
