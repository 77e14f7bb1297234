"""The line to electricity meters: one request at a time, bounded in time, tried again when it went wrong."""

import asyncio

from meter import modbus, rtu, tcp
from meter.errors import LineError, in_words

ATTEMPTS = 3
BACK_OFF_MS = 50
"""Pause before the second attempt; it doubles before each further one."""
FIRST_SKIP_MS, MAX_SKIP_MS = 1000, 60_000
"""How long a meter that did not answer is left out while others share the line: doubled each time, and its limit."""

_WORTH_RETRYING = (modbus.ACKNOWLEDGE, modbus.BUSY, modbus.TARGET_SILENT)


class Line:
    """A Modbus client: RTU on a tty where *settings* have a `path`, TCP where they have a `host`."""

    def __init__(self, settings, board):
        self._board = board
        self._wire = wire(settings, board)
        self._lock = asyncio.Lock()
        self._slaves = set()
        self._silent = {}  # slave -> (since when in ticks, how long it is skipped in ms)

    async def read(self, slave, function, address, words):
        """Return the bytes of *words* registers; raises LineError when every attempt failed."""
        return await self._try(
            slave, modbus.registers(function, address, words), lambda pdu: modbus.parse_registers(pdu, words)
        )

    async def identify(self, slave):
        """Return {object number: bytes} of the basic device identification; raises LineError."""
        return await self._try(slave, modbus.identification(), modbus.parse_identification)

    def close(self):
        """Let go of the tty or connection; the next request opens it again."""
        self._wire.close()

    async def _try(self, slave, query, parse):
        self._slaves.add(slave)
        async with self._lock:
            self._refuse_skipped(slave)
            attempts = 1 if slave in self._silent and len(self._slaves) > 1 else ATTEMPTS
            for attempt in range(attempts):
                if attempt:
                    await asyncio.sleep((BACK_OFF_MS << (attempt - 1)) / 1000)
                try:
                    answer = parse(await self._wire.exchange(slave, query))
                except modbus.ExceptionResponse as error:
                    failure = error
                    is_silent = error.code == modbus.TARGET_SILENT  # so says the gateway before it
                    if not is_silent:
                        self._silent.pop(slave, None)
                    if error.code not in _WORTH_RETRYING:
                        raise  # the meter heard us and means it
                except LineError as error:
                    is_silent = True
                    failure = LineError("slave {} on {}: {}".format(slave, self._wire.name, error))
                except OSError as error:
                    is_silent = False  # the line's fault, and soon told: no reason to leave out the meter
                    self.close()
                    failure = LineError("cannot use {}: {}".format(self._wire.name, in_words(error)))
                else:
                    self._silent.pop(slave, None)
                    return answer
            if is_silent:
                self._note_silence(slave)
        raise failure

    def _refuse_skipped(self, slave):
        """Raise LineError while *slave* is left out. Alone on its line it never is: nobody waits for it."""
        since, skip_ms = self._silent.get(slave, (0, 0))
        if skip_ms and len(self._slaves) > 1 and self._board.ticks_since(since) < skip_ms:
            raise LineError("slave {} on {}: silent, left out for {} ms".format(slave, self._wire.name, skip_ms))

    def _note_silence(self, slave):
        _, skip_ms = self._silent.get(slave, (0, 0))
        self._silent[slave] = self._board.ticks_ms(), min(MAX_SKIP_MS, 2 * skip_ms or FIRST_SKIP_MS)


def wire(settings, board):
    """Return what carries single requests: a Modbus TCP connection where *settings* have a `host`, else a tty."""
    return tcp.Wire(settings, board) if hasattr(settings, "host") else rtu.Wire(settings, board)
