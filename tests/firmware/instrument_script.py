"""Run under MicroPython: reads a meter on a tty by its profile; prints what it read, or why not, as JSON."""

import asyncio
import json

from meter import profile
from meter.board import linux
from meter.config import Line as LineSettings
from meter.errors import LineError
from meter.instrument import Instrument
from meter.line import Line


def main(path: str, name: str, slave: str, readings: str) -> None:
    """Print one JSON line for each of *readings* readings: telemetry, then boundary."""
    line = Line(LineSettings(path, 115200, "none", 1), linux)
    instrument = Instrument(profile.load(name), line, int(slave), linux)
    before: tuple = ()
    for _ in range(int(readings)):
        try:
            values, _ = asyncio.run(instrument.read(False, before))
            boundary, _ = asyncio.run(instrument.read(True, before))
        except LineError as error:
            print(json.dumps({"error": str(error)}))
        else:
            before = boundary
            print(json.dumps({"telemetry": values, "boundary": boundary}))
