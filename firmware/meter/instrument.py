"""The electricity meter behind a line: its profile bound to it, its settings checked, its registers read."""

from meter import profile, registers, sunspec
from meter.errors import LineError
from meter.modbus import ABSENT, ILLEGAL_DATA_ADDRESS, ExceptionResponse

CHECK_EVERY = 60
"""Readings of telemetry after which the settings are checked again: someone may have changed them at the keys."""


class Instrument:
    """One meter, `slave` on *line*, read as *used* (a profile.Profile) says; *clock*'s `now_ms` tells when."""

    def __init__(self, used, line, slave, clock):
        self._profile = used
        self._line = line
        self._slave = slave
        self._clock = clock
        self._until_check = None  # readings of telemetry, or None: nothing is read before the settings are checked

    async def read(self, is_boundary, before=()):
        """Return ((code, value), ...) by ascending code, and when (ms) the energies were read.

        *before* are the last reading's registers: from there a counter's turns are known. Raises LineError when the
        meter does not answer, answers with no number, or is set so that its numbers mean something else.
        """
        await self._prepare(is_boundary)
        while True:
            try:
                found, time_ms = await self._ask_all(is_boundary, before)
            except LineError as error:
                if getattr(error, "code", None) not in ABSENT or not self._profile.max_gap_words:
                    self._until_check = None  # what was gone may come back set otherwise, or as another meter
                    raise
                self._profile.narrow()  # this variant refuses what lies between its registers
            else:
                return profile.settle(self._profile, found, before), time_ms

    def close(self):
        """Let go of the line."""
        self._line.close()

    async def _prepare(self, is_boundary):
        """Check the settings where that is due: at first, and then where it holds up no boundary reading."""
        if self._until_check is None or (self._until_check == 0 and not is_boundary):
            self._until_check = None
            await self._bind()
            for check in self._profile.checks:
                await self._check(*check)
            self._until_check = CHECK_EVERY
        elif not is_boundary:
            self._until_check -= 1

    async def _bind(self):
        """Find a SunSpec model's registers, each time anew: another device may have come in the place of this one."""
        wanted = self._profile.sunspec_model
        if wanted is None:
            return
        models = await sunspec.walk(self._line, self._slave)
        if wanted not in models:
            raise LineError("slave {} has no SunSpec model {}: {}".format(self._slave, wanted, sorted(models)))
        self._profile.at(models[wanted])

    async def _check(self, what, function, address, kind, wanted, remedy, _):
        if wanted is None:
            return  # for `probe` to show
        try:
            value = await read_number(self._line, self._slave, function, address, kind)
        except ExceptionResponse as error:
            if error.code in ABSENT:
                return  # a variant that has not the setting cannot have it wrong
            raise
        if value not in wanted:
            raise LineError("the meter's {} is {}: {}".format(what, value, remedy))

    async def _ask_all(self, is_boundary, before):
        found = []
        time_ms = None
        for request in self._profile.boundary if is_boundary else self._profile.telemetry:
            found += await self._ask(request, before)
            if time_ms is None or any(register.code in profile.ENERGY for register in request.registers):
                time_ms = self._clock.now_ms()
        return found, time_ms

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
