"""A virtual RS-485 line: a pseudo terminal with a pymodbus RTU server and several meters on it.

    firmware ── outer pty ══ bytes copied both ways ══ inner pty ── pymodbus RTU server ── virtual meters

pymodbus opens a serial device by its path and the firmware does too, so the line has two pseudo terminals with their
masters joined here. An address where no living meter sits is silent, as on copper.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from hil.errors import LineError
from hil.resources.virtual_meter import VirtualMeter

COPY_BYTES: Final = 512
"""More than the longest RTU frame (256 bytes)."""
MAX_REGISTERS_A_REQUEST: Final = 80
"""Eastron's meters give at most 40 parameters of two registers in one answer."""
_READ_HOLDING: Final = 3
_READ_INPUT: Final = 4
_WORD: Final = DataType.REGISTERS


class SerialLine:
    """One line with its meters; `path` is what a meter's configuration names as its tty (a symbolic link)."""

    def __init__(self, path: Path, meters: Sequence[VirtualMeter]) -> None:
        self.path = path
        self.meters = {meter.plate.slave: meter for meter in meters}
        if not meters or len(self.meters) != len(meters) or not all(1 <= slave <= 247 for slave in self.meters):
            raise LineError(f"line {path}: it needs meters with different slave addresses in 1..247")
        self._inner = _PseudoTerminal()
        self._outer = _PseudoTerminal()
        self._server: ModbusSerialServer | None = None

    async def start(self) -> None:
        """Open the line: from here on a request on `path` is answered."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inner.master, _copy, self._inner.master, self._outer.master)
        loop.add_reader(self._outer.master, _copy, self._outer.master, self._inner.master)
        server = ModbusSerialServer(
            [_device(meter) for meter in self.meters.values()], port=self._inner.path, ignore_missing_devices=True
        )
        server.context = _SilentWhereAbsent(self.meters)
        await server.serve_forever(background=True)
        self._server = server
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self._outer.path)

    async def stop(self) -> None:
        """Close the line; its path is gone."""
        self.path.unlink(missing_ok=True)
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
        for terminal in (self._inner, self._outer):
            asyncio.get_running_loop().remove_reader(terminal.master)
            terminal.close()


class _PseudoTerminal:
    """A raw pseudo terminal. Its slave end stays open here, so that a meter which closes it does not break the line."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)

    def close(self) -> None:
        os.close(self._slave)
        os.close(self.master)


class _SilentWhereAbsent(SimCore):
    """pymodbus's register core, mended: 3.16 answers exception 4 for an address that it does not know."""

    def __init__(self, meters: dict[int, VirtualMeter]) -> None:
        super().__init__([_device(meter) for meter in meters.values()])
        self._meters = meters

    async def async_getValues(  # noqa: N802 (pymodbus's name)
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        self._require_living(device_id)
        return await super().async_getValues(device_id, func_code, address, count)

    async def async_setValues(  # noqa: N802 (pymodbus's name)
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        self._require_living(device_id)
        return await super().async_setValues(device_id, func_code, address, values)

    def _require_living(self, device_id: int) -> None:
        meter = self._meters.get(device_id)
        if meter is None or not meter.alive:
            raise NoSuchIdException


def _device(meter: VirtualMeter) -> SimDevice:
    """Return *meter* as pymodbus's device: input registers follow the meter, the rest is read-only."""

    async def refresh(*request: Any) -> ExcCodes | None:
        function, start, _address, count, registers, _written = request
        if function not in (_READ_HOLDING, _READ_INPUT):
            return ExcCodes.ILLEGAL_FUNCTION
        if count > MAX_REGISTERS_A_REQUEST:
            return ExcCodes.ILLEGAL_VALUE
        if function == _READ_INPUT:
            for place, word in meter.input_registers().items():
                registers[place - start] = word
        return None

    bits = SimData(0, values=[False] * 16, datatype=DataType.BITS)
    holding = [SimData(place, values=word, datatype=_WORD) for place, word in meter.holding_registers().items()]
    # Eastron's meters answer zeros for the input registers that their manuals leave out.
    inputs = SimData(0, count=max(meter.input_registers()) + 1, datatype=_WORD)
    return SimDevice(meter.plate.slave, ([bits], [bits], holding, [inputs]), action=refresh)


def _copy(source: int, sink: int) -> None:
    """Copy what came in; what the other end has no room for is lost, as on a line that nobody listens to."""
    try:
        os.write(sink, os.read(source, COPY_BYTES))
    except BlockingIOError:
        return
