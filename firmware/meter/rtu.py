"""Modbus RTU on a UART: frames parted by silence, stale bytes and our own echo thrown away."""

import asyncio

from meter import modbus
from meter.errors import LineError

ANSWER_TIMEOUT_MS = 500
"""How long a meter may think before its answer begins."""
LATE_MS = 1000
"""A meter that let a request go unanswered may still answer it this long after it was sent."""
POLL_MS = 2
STALE_READS = 4 * modbus.MAX_FRAME_BYTES
"""So often bytes that nobody asked for are thrown away before the line is given up."""

_BITS_PER_BYTE = 11
_GAP_BYTES = 4  # a frame ends with 3.5 silent characters (Modbus over Serial Line V1.02 §2.5.1.1)
_MIN_GAP_MS = 2
_OPEN_END_MS = 60  # silence that ends an answer of unknown length: longer than any pause inside one, at any speed


class Wire:
    """One tty. `board` opens the UART and drives its RS-485 direction; a lost one (adapter pulled) is opened again."""

    def __init__(self, settings, board):
        self.name = settings.path
        self._settings = settings
        self._board = board
        self._uart = None
        self._owed = {}  # slave -> (the request to which no proper answer came, when it was sent in ticks)
        self._byte_us = _BITS_PER_BYTE * 1_000_000 // settings.baud
        self._gap_ms = max(_MIN_GAP_MS, _GAP_BYTES * self._byte_us // 1000 + 1)

    async def exchange(self, slave, query):
        """Return the PDU by which *slave* answers *query*; raises LineError or OSError."""
        if self._uart is None:
            self._uart = self._board.open_uart(self._settings)
        request = modbus.rtu_frame(slave, query.pdu)
        await self._outwait(slave, request)
        await self._drain()
        sent = self._board.ticks_ms()
        self._uart.write(request)
        answer = await self._receive(query, request)
        is_owed = slave in self._owed  # then this answer may be that to the attempt before, and another one follow
        try:
            return modbus.parse_rtu(answer, slave, query)
        except modbus.FrameError:
            is_owed = True
            raise
        finally:
            if is_owed:
                self._owed[slave] = request, sent

    def close(self):
        """Let go of the UART; the next request opens it again."""
        if self._uart is not None:
            self._uart.close()
            self._uart = None

    async def _outwait(self, slave, request):
        """Wait until *slave* will not answer any more what it let go unanswered.

        A frame does not say which register it holds: a late answer would pass for that to the next request. Only where
        the request is the same again it may come: it says the same.
        """
        if slave not in self._owed:
            return
        owed, sent = self._owed[slave]
        left_ms = min(LATE_MS, LATE_MS - self._board.ticks_since(sent))
        if owed != request and left_ms > 0:
            await _pause(left_ms)
        if owed != request or left_ms <= 0:
            del self._owed[slave]

    async def _drain(self):
        """Throw away what came without being asked for, until the line was silent for one gap."""
        for _ in range(STALE_READS):
            await _pause(self._gap_ms)
            if not self._uart.read(modbus.MAX_FRAME_BYTES):
                return
        raise LineError("the line never falls silent: is another master on it?")

    async def _receive(self, query, request):
        """Return the answer: what came until it is complete, a gap after it included to catch surplus bytes.

        An adapter that hears itself gives the request back first: that is taken off.
        """
        start = self._board.ticks_ms()
        frame = b""
        budget_ms = ANSWER_TIMEOUT_MS + self._airtime_ms(len(request) + modbus.rtu_answer_bytes(b"", query))
        while self._board.ticks_since(start) < budget_ms:
            await _pause(POLL_MS)
            frame += self._uart.read(modbus.MAX_FRAME_BYTES) or b""
            if frame[: len(request)] == request:
                frame = frame[len(request) :]
            is_echo = request[: len(frame)] == frame  # so far; also while nothing came
            if not is_echo and (not query.answer_bytes or len(frame) >= modbus.rtu_answer_bytes(frame, query)):
                break
        return await self._until_silent(frame, self._gap_ms if query.answer_bytes else _OPEN_END_MS)

    async def _until_silent(self, frame, silence_ms):
        """Return *frame* and what follows until a silence ends it, or no frame could be so long."""
        while 0 < len(frame) <= modbus.MAX_FRAME_BYTES:
            await _pause(silence_ms)
            more = self._uart.read(modbus.MAX_FRAME_BYTES)
            if not more:
                break
            frame += more
        return frame

    def _airtime_ms(self, count):
        return count * self._byte_us // 1000 + 1


async def _pause(duration_ms):
    await asyncio.sleep(duration_ms / 1000)
