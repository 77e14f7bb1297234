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
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from hil.errors import LineError
from hil.faults import LineFault
from hil.resources.virtual_meter import VirtualMeter

COPY_BYTES: Final = 512
"""More than the longest RTU frame (256 bytes)."""
IDENTIFIED: Final = {"siemens_pac2200": ("Siemens AG", "PAC2200")}
"""Profiles of the models that say who they are by function 43."""
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
        self.fault: LineFault | None = None
        """What happens to the exchanges from now on."""

    async def start(self) -> None:
        """Open the line: from here on a request on `path` is answered."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inner.master, self._carry_answer)
        loop.add_reader(self._outer.master, self._carry_request)
        server = ModbusSerialServer(
            [_device(meter) for meter in self.meters.values()],
            port=self._inner.path,
            ignore_missing_devices=True,
            identity=_identity(self.meters),
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

    def _carry_request(self) -> None:
        request = _receive(self._outer.master)
        if self.fault and request:
            _send(self._outer.master, self.fault.heard_at_once(request))
        _send(self._inner.master, request)

    def _carry_answer(self) -> None:
        answer = _receive(self._inner.master)
        if not self.fault or not answer:
            _send(self._outer.master, answer)
            return
        delay_ms, heard = self.fault.instead_of(answer)
        if delay_ms:
            asyncio.get_running_loop().call_later(delay_ms / 1000, self._outer.send, heard)
        else:
            self._outer.send(heard)


class _PseudoTerminal:
    """A raw pseudo terminal. Its slave end stays open here, so that a meter which closes it does not break the line."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.path = os.ttyname(self._slave)
        self._is_open = True

    def send(self, data: bytes) -> None:
        """Let the tty's reader hear *data*; nothing once it is closed."""
        if self._is_open:
            _send(self.master, data)

    def close(self) -> None:
        self._is_open = False
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
        function, start, address, count, registers, _written = request
        if function not in (_READ_HOLDING, _READ_INPUT):
            return ExcCodes.ILLEGAL_FUNCTION
        model = meter.plate.model
        if count > model.max_words:
            return ExcCodes.ILLEGAL_VALUE
        if model.image and model.image.cuts_number(address, count):
            return ExcCodes.ILLEGAL_ADDRESS
        words = meter.input_registers() if function == _READ_INPUT else meter.holding_registers()
        for place, word in words.items():
            registers[place - start] = word
        return None

    bits = SimData(0, values=[False] * 16, datatype=DataType.BITS)
    holding, inputs = _block(meter.holding_registers()), _block(meter.input_registers())
    if meter.plate.model.image is None:
        # Eastron's meters answer zeros for the input registers that their manuals leave out.
        inputs = [SimData(0, count=max(meter.input_registers()) + 1, datatype=_WORD)]
    return SimDevice(meter.plate.slave, ([bits], [bits], holding, inputs), action=refresh)


def _block(words: dict[int, int]) -> list[SimData]:
    """Return *words* as pymodbus's registers; where a meter has none of a kind, one far away stands for them."""
    return [SimData(place, values=word, datatype=_WORD) for place, word in sorted(words.items())] or [SimData(65535)]


def _identity(meters: dict[int, VirtualMeter]) -> ModbusDeviceIdentification:
    """Return what the line's meters say of themselves by function 43; pymodbus has one answer for a whole process."""
    for meter in meters.values():
        if meter.plate.model.profile in IDENTIFIED:
            vendor, product = IDENTIFIED[meter.plate.model.profile]
            names = {"VendorName": vendor, "ProductCode": product}
            return ModbusDeviceIdentification(info_name=names)  # type: ignore[no-untyped-call]
    return ModbusDeviceIdentification()  # type: ignore[no-untyped-call]


def _receive(source: int) -> bytes:
    try:
        return os.read(source, COPY_BYTES)
    except BlockingIOError:
        return b""


def _send(sink: int, data: bytes) -> None:
    """Write *data*; what the other end has no room for is lost, as on a line that nobody listens to."""
    try:
        os.write(sink, data)
    except BlockingIOError:
        return
