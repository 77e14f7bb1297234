"""Modbus RTU framing (Modbus over Serial Line V1.02 §2.5, Application Protocol V1.1b3 §6.3, §6.4, §7). No I/O here."""

from meter.errors import LineError

MAX_FRAME_BYTES = 256
EXCEPTION_FRAME_BYTES = 5
ILLEGAL_DATA_ADDRESS, ACKNOWLEDGE, BUSY, TARGET_SILENT = 2, 5, 6, 11
"""Exception codes that someone acts upon."""

_EXCEPTION_BIT = 0x80
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


class FrameError(LineError):
    """The answer is not one to the request: worth asking again."""


class ExceptionResponse(LineError):
    """The meter answered with a Modbus exception; `code` is its number."""

    def __init__(self, code):
        super().__init__(
            "the meter refused the request: exception {}, {}".format(code, _EXCEPTIONS.get(code, "unknown"))
        )
        self.code = code


def request(slave, function, address, words):
    """Return the frame that asks *slave* for *words* registers from *address* on (function 3 or 4)."""
    frame = bytes([slave, function]) + address.to_bytes(2, "big") + words.to_bytes(2, "big")
    return frame + crc16(frame).to_bytes(2, "little")


def answer_bytes(head, words):
    """Return how long an answer that begins with *head* will be: *words* registers, or an exception."""
    if len(head) >= 2 and head[1] & _EXCEPTION_BIT:
        return EXCEPTION_FRAME_BYTES
    return 5 + 2 * words


def parse_answer(frame, slave, function, words):
    """Return the register bytes in the answer *frame*; raises FrameError or ExceptionResponse."""
    expected = answer_bytes(frame, words)
    if not frame:
        raise FrameError("the meter did not answer")
    if len(frame) < expected:
        raise FrameError("short frame: {} of {} bytes".format(len(frame), expected))
    if len(frame) > expected:
        raise FrameError("long frame: more than {} bytes".format(expected))
    if crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        raise FrameError("broken frame: its CRC does not hold")
    if frame[0] != slave:
        raise FrameError("answer of slave {}, not {}".format(frame[0], slave))
    if frame[1] == function | _EXCEPTION_BIT:
        raise ExceptionResponse(frame[2])
    if frame[1] != function:
        raise FrameError("answer to function {}, not {}".format(frame[1], function))
    if frame[2] != 2 * words:
        raise FrameError("answer with {} data bytes, not {}".format(frame[2], 2 * words))
    return frame[3:-2]


def crc16(data):
    """Return the CRC-16/MODBUS of *data*."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _table_entry(byte):
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_TABLE = [_table_entry(byte) for byte in range(256)]
