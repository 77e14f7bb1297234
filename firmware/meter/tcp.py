"""Modbus TCP: one connection, one request on it at a time, late answers of earlier ones passed over."""

import asyncio

from meter import modbus

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 1
MAX_STALE_FRAMES = 8
"""So many answers to something else are passed over before a request has failed."""


class Wire:
    """A Modbus TCP server at `settings.host` and `settings.port`; a broken connection is made anew."""

    def __init__(self, settings, board):
        self.name = "{}:{}".format(settings.host, settings.port)
        self._settings = settings
        self._board = board
        self._streams = None
        self._transaction = 0

    async def exchange(self, slave, query):
        """Return the PDU by which unit *slave* answers *query*; raises LineError or OSError.

        After anything but a proper answer the connection is closed: what comes late on it answers nothing.
        """
        if self._streams is None:
            self._streams = await self._connect()
        try:
            pdu = await self._ask(slave, query)
        except asyncio.TimeoutError:
            self.close()
            raise modbus.Silence from None
        except (EOFError, OSError):
            self.close()
            raise OSError("the connection was closed") from None
        except modbus.FrameError:
            self.close()
            raise
        modbus.check_function(pdu, query)
        return pdu

    def close(self):
        """Close the connection; the next request makes a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connect(self):
        try:
            return await self._board.connect_plain(self._settings.host, self._settings.port, CONNECT_TIMEOUT_S)
        except (asyncio.TimeoutError, OSError):
            raise OSError("no connection can be made") from None

    async def _ask(self, slave, query):
        reader, writer = self._streams
        self._transaction = (self._transaction + 1) % modbus.TRANSACTIONS
        writer.write(modbus.tcp_frame(self._transaction, slave, query.pdu))
        await writer.drain()
        return await asyncio.wait_for(self._receive(reader, slave), ANSWER_TIMEOUT_S)

    async def _receive(self, reader, slave):
        for _ in range(MAX_STALE_FRAMES):
            transaction, count, unit = modbus.parse_tcp_head(await reader.readexactly(modbus.TCP_HEAD_BYTES))
            pdu = await reader.readexactly(count)
            if transaction == self._transaction:
                if unit != slave:
                    raise modbus.FrameError("answer of slave {}, not {}".format(unit, slave))
                return pdu
        raise modbus.FrameError("only answers to other requests came")
