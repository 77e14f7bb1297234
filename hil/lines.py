"""Virtual lines by description: a JSON file says which meters sit on which line, and one process serves them all.

    {"epoch_s": 10, "first_epoch": 179517560, "first_slot": "2020-09-18T02:00:00Z", "trace": "…/monash-2020-09.csv",
     "lines": [{"name": "line-01", "meters": [{"slave": 1, "model": "SDM120", "series": "MON-Solar4",
                "permille": 1000, "exports": true, "serial_number": 20000001, "import_wh": 0, "export_wh": 0}]}]}

The ttys appear as symbolic links, named like the lines, in the folder of the file.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hil.errors import LineError
from hil.resources import trace
from hil.resources.meter_models import BY_NAME
from hil.resources.serial_line import SerialLine
from hil.resources.trace import NS_PER_S, Schedule, Trace
from hil.resources.virtual_meter import Plate, VirtualMeter


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_model(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(f"no simulated meter {name!r}; there are {', '.join(sorted(BY_NAME))}")
    return name


class MeterOnLine(_Section):
    """One virtual meter: model, slave address, its part of a measured series, and what its counters start from."""

    slave: Annotated[int, Field(ge=1, le=247)]
    model: Annotated[str, AfterValidator(_known_model)]
    series: str
    permille: Annotated[int, Field(ge=0)] = 1000
    exports: bool = False
    serial_number: Annotated[int, Field(ge=0, lt=2**32)] = 1
    import_wh: Annotated[int, Field(ge=0)] = 0
    export_wh: Annotated[int, Field(ge=0)] = 0
    alive: bool = True


class Line(_Section):
    """One RS-485 line and the meters on it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    meters: Annotated[tuple[MeterOnLine, ...], Field(min_length=1)]


class LineFile(_Section):
    """All lines of a process; epoch e takes the trace's slot of `first_slot`, plus e - first_epoch."""

    epoch_s: Annotated[int, Field(ge=1)] = 900
    first_epoch: Annotated[int, Field(ge=0)] = 0
    first_slot: datetime
    trace: Path
    lines: Annotated[tuple[Line, ...], Field(min_length=1)]


def load(path: Path) -> LineFile:
    """Return the description in the JSON file *path*; raises LineError with one clear line."""
    try:
        return LineFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise LineError(f"cannot read the lines in {path}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "file"
        raise LineError(f"{path}: {place}: {fault['msg']}") from error


def build(described: LineFile, folder: Path) -> list[SerialLine]:
    """Return the lines of *described*, not yet open, with their ttys in *folder*."""
    clock = Clock()
    source = trace.load(folder / described.trace)
    first_slot = source.slot(described.first_slot)
    return [
        SerialLine(folder / line.name, [_meter(described, meter, source, first_slot, clock) for meter in line.meters])
        for line in described.lines
    ]


class Clock:
    """Unix time in ns that never jumps: read once, then carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        """Return the time now."""
        return self._offset_ns + time.monotonic_ns()


async def serve(lines: list[SerialLine]) -> None:
    """Serve *lines* until SIGTERM or SIGINT; prints one JSON line once all are open."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        for line in lines:
            await line.start()
        ttys = {line.path.name: str(line.path) for line in lines}
        print(json.dumps({"event": "ready", "lines": ttys}), flush=True)
        await stopped.wait()
    finally:
        for line in lines:
            await line.stop()


def _meter(described: LineFile, meter: MeterOnLine, source: Trace, first_slot: int, clock: Clock) -> VirtualMeter:
    sign = -1 if meter.exports else 1
    power_w = tuple(sign * power for power in source.power_w(meter.series, meter.permille))
    model, limit_w = BY_NAME[meter.model], BY_NAME[meter.model].rated_power_w
    if max(map(abs, power_w)) > limit_w:
        raise LineError(f"{meter.series} x {meter.permille}/1000 exceeds the {limit_w} W of an {model.name}; lower it")
    first_epoch = described.first_epoch or clock() // (NS_PER_S * described.epoch_s)
    plate = Plate(model, meter.slave, meter.serial_number, meter.import_wh, meter.export_wh)
    built = VirtualMeter(plate, Schedule(power_w, first_slot, first_epoch, described.epoch_s), clock)
    built.alive = meter.alive
    return built
