"""The electricity meter behind a line: its profile bound to it, its settings checked, its registers read."""

from meter import profile, registers, sunspec
from meter.errors import LineError
from meter.modbus import ILLEGAL_DATA_ADDRESS, ExceptionResponse

CHECK_EVERY = 60
"""Readings of telemetry after which the settings are checked again: someone may have changed them at the keys."""


class Instrument:
    """One meter, `slave` on *line*, read as *used* (a profile.Profile) says."""

    def __init__(self, used, line, slave, board):
        self._profile = used
        self._line = line
        self._slave = slave
        self._board = board
        self._is_bound = used.sunspec_model is None
        self._until_check = 0

    async def read(self, is_boundary, before=()):
        """Return ((code, value), ...) by ascending code, and when (ms) the energies were read.

        *before* are the last reading's registers: from there a counter's turns are known. Raises LineError when the
        meter does not answer, answers with no number, or is set so that its numbers mean something else.
        """
        await self._prepare(is_boundary)
        found = []
        time_ms = None
        for request in self._profile.boundary if is_boundary else self._profile.telemetry:
            found += await self._ask(request, before)
            if time_ms is None or any(register.code in profile.ENERGY for register in request.registers):
                time_ms = self._board.now_ms()
        return profile.settle(self._profile, found, before), time_ms

    def close(self):
        """Let go of the line."""
        self._line.close()

    async def _prepare(self, is_boundary):
        if not self._is_bound:
            models = await sunspec.walk(self._line, self._slave)
            wanted = self._profile.sunspec_model
            if wanted not in models:
                raise LineError("slave {} has no SunSpec model {}: {}".format(self._slave, wanted, sorted(models)))
            self._profile.at(models[wanted])
            self._is_bound = True
        if self._until_check == 0:
            for check in self._profile.checks:
                await self._check(*check)
            self._until_check = CHECK_EVERY
        elif not is_boundary:
            self._until_check -= 1

    async def _check(self, what, function, address, kind, wanted, remedy, _):
        if wanted is None:
            return  # for `probe` to show
        try:
            value = await read_number(self._line, self._slave, function, address, kind)
        except ExceptionResponse:
            return  # a variant that has not the setting cannot have it wrong
        if value not in wanted:
            raise LineError("the meter's {} is {}: {}".format(what, value, remedy))

    async def _ask(self, request, before):
        try:
            data = await self._line.read(self._slave, request.function, request.address, request.words)
        except ExceptionResponse as error:
            optional = all(register.code in self._profile.optional for register in request.registers)
            if error.code != ILLEGAL_DATA_ADDRESS or not optional:
                raise
            return [(register, None) for register in request.registers]
        return profile.decode(request, data, before)


async def read_number(line, slave, function, address, kind):
    """Return the whole part of one number in the meter; None where it holds none."""
    data = await line.read(slave, function, address, registers.words(kind))
    value = registers.exact(kind, data, 0)
    return None if value is None else registers.truncate(*value)
