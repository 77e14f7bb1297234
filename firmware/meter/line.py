"""The serial line to the electricity meter: one request at a time, bounded in time, tried again when it went wrong."""

import asyncio

from meter import modbus
from meter.errors import LineError

ANSWER_TIMEOUT_MS = 500
"""How long a meter may think before its answer begins."""
ATTEMPTS = 3
POLL_S = 0.002

_BITS_PER_BYTE = 11
_GAP_BYTES = 4  # a frame ends with 3.5 silent characters (Modbus over Serial Line V1.02 §2.5.1.1)
_MIN_GAP_MS = 2
_STALE_BYTES_LIMIT = 4 * modbus.MAX_FRAME_BYTES


class Line:
    """A Modbus RTU client on one tty. `board` opens the UART; a lost one (adapter pulled) is opened again."""

    def __init__(self, settings, board):
        self._settings = settings
        self._board = board
        self._uart = None
        self._lock = asyncio.Lock()
        self._byte_us = _BITS_PER_BYTE * 1_000_000 // settings.baud
        self._gap_ms = max(_MIN_GAP_MS, _GAP_BYTES * self._byte_us // 1000 + 1)

    async def read(self, slave, function, address, words):
        """Return the bytes of *words* registers; raises LineError when every attempt failed."""
        failure = None
        async with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    return await self._ask(slave, function, address, words)
                except modbus.ExceptionResponse:
                    raise  # the meter heard us and means it
                except LineError as error:
                    failure = LineError("slave {} on {}: {}".format(slave, self._settings.path, error))
                except OSError as error:
                    self.close()
                    failure = LineError("cannot use {}: {}".format(self._settings.path, error))
        raise failure

    def close(self):
        """Let go of the UART; the next request opens it again."""
        if self._uart is not None:
            self._uart.close()
            self._uart = None

    async def _ask(self, slave, function, address, words):
        if self._uart is None:
            self._uart = self._board.open_uart(self._settings)
        await self._drain()
        request = modbus.request(slave, function, address, words)
        self._uart.write(request)
        frame = await self._receive(words, len(request))
        return modbus.parse_answer(frame, slave, function, words)

    async def _drain(self):
        """Throw away what came without being asked for, until the line was silent for one gap."""
        for _ in range(_STALE_BYTES_LIMIT):
            await asyncio.sleep(self._gap_ms / 1000)
            if not self._uart.read(modbus.MAX_FRAME_BYTES):
                return
        raise LineError("the line never falls silent: is another master on it?")

    async def _receive(self, words, request_bytes):
        """Return the answer: what came until it is complete, a gap after it included to catch surplus bytes."""
        start = self._board.ticks_ms()
        frame = b""
        budget_ms = ANSWER_TIMEOUT_MS + self._airtime_ms(request_bytes + modbus.answer_bytes(b"", words))
        while len(frame) < modbus.answer_bytes(frame, words) and self._board.ticks_since(start) < budget_ms:
            await asyncio.sleep(POLL_S)
            frame += self._uart.read(modbus.MAX_FRAME_BYTES) or b""
        if frame:
            await asyncio.sleep(self._gap_ms / 1000)
            frame += self._uart.read(modbus.MAX_FRAME_BYTES) or b""
        return frame

    def _airtime_ms(self, count):
        return count * self._byte_us // 1000 + 1
