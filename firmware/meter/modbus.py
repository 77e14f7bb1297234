"""Modbus frames (Application Protocol V1.1b3 §6 and §7, Serial Line V1.02 §2.5, TCP/IP V1.0b §3). No I/O here."""

from collections import namedtuple

from meter.errors import LineError

MAX_FRAME_BYTES = 256
EXCEPTION_PDU_BYTES = 2
RTU_EXTRA_BYTES = 3
"""Slave address and CRC around a PDU."""
TCP_HEAD_BYTES = 7
MAX_TCP_LENGTH = 254
"""Largest value of the length field: unit and PDU."""
TRANSACTIONS = 0x10000
IDENTIFICATION = 43
ILLEGAL_DATA_ADDRESS, ACKNOWLEDGE, BUSY, TARGET_SILENT = 2, 5, 6, 11
ABSENT = (1, ILLEGAL_DATA_ADDRESS, 3)
"""Exception codes that someone acts upon; those by which a meter says that it has not what was asked for."""

Query = namedtuple("Query", ("pdu", "answer_bytes"))
"""What is asked, and how long the PDU of a proper answer is; 0 where only the answer tells."""

_EXCEPTION_BIT = 0x80
_READ_DEVICE_ID, _BASIC, _MAX_OBJECTS = 14, 1, 8
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


class Silence(FrameError):
    """Nothing came."""

    def __init__(self):
        super().__init__("the meter did not answer")


class ExceptionResponse(LineError):
    """The meter answered with a Modbus exception; `code` is its number."""

    def __init__(self, code):
        super().__init__(
            "the meter refused the request: exception {}, {}".format(code, _EXCEPTIONS.get(code, "unknown"))
        )
        self.code = code


def registers(function, address, words):
    """Return the Query for *words* registers from *address* on (function 3 or 4)."""
    return Query(bytes([function]) + address.to_bytes(2, "big") + words.to_bytes(2, "big"), 2 + 2 * words)


def identification():
    """Return the Query for the basic device identification (function 43, MEI type 14)."""
    return Query(bytes([IDENTIFICATION, _READ_DEVICE_ID, _BASIC, 0]), 0)


def parse_registers(pdu, words):
    """Return the register bytes in the answer *pdu*; raises FrameError."""
    if len(pdu) != 2 + 2 * words or pdu[1] != 2 * words:
        raise FrameError("answer with {} data bytes, not {}".format(pdu[1] if len(pdu) > 1 else 0, 2 * words))
    return pdu[2:]


def parse_identification(pdu):
    """Return {object number: bytes} of a device identification; raises FrameError."""
    if len(pdu) < 7 or pdu[1] != _READ_DEVICE_ID or pdu[6] > _MAX_OBJECTS:
        raise FrameError("answer with no device identification")
    objects = {}
    place = 7
    for _ in range(pdu[6]):
        head = pdu[place : place + 2]
        if len(head) < 2 or place + 2 + head[1] > len(pdu):
            raise FrameError("device identification cut off")
        objects[head[0]] = pdu[place + 2 : place + 2 + head[1]]
        place += 2 + head[1]
    return objects


def check_function(pdu, query):
    """Raise ExceptionResponse or FrameError unless *pdu* answers the function of *query*."""
    function = query.pdu[0]
    if len(pdu) >= 2 and pdu[0] == function | _EXCEPTION_BIT:
        raise ExceptionResponse(pdu[1])
    if not pdu or pdu[0] != function:
        raise FrameError("answer to function {}, not {}".format(pdu[0] if pdu else "none", function))


def rtu_frame(slave, pdu):
    """Return *pdu* as the RTU frame to or from *slave*."""
    frame = bytes([slave]) + pdu
    return frame + crc16(frame).to_bytes(2, "little")


def rtu_answer_bytes(head, query):
    """Return how long an answer frame that begins with *head* will be; MAX_FRAME_BYTES where only silence ends it."""
    if len(head) >= 2 and head[1] & _EXCEPTION_BIT:
        return EXCEPTION_PDU_BYTES + RTU_EXTRA_BYTES
    return query.answer_bytes + RTU_EXTRA_BYTES if query.answer_bytes else MAX_FRAME_BYTES


def parse_rtu(frame, slave, query):
    """Return the PDU in the answer *frame*; raises FrameError or ExceptionResponse."""
    expected = rtu_answer_bytes(frame, query)
    if not frame:
        raise Silence
    if len(frame) > expected:
        raise FrameError("long frame: more than {} bytes".format(expected))
    if len(frame) < (expected if expected < MAX_FRAME_BYTES else RTU_EXTRA_BYTES + 1):
        raise FrameError("short frame: {} of {} bytes".format(len(frame), expected))
    if crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        raise FrameError("broken frame: its CRC does not hold")
    if frame[0] != slave:
        raise FrameError("answer of slave {}, not {}".format(frame[0], slave))
    pdu = frame[1:-2]
    check_function(pdu, query)
    return pdu


def tcp_frame(transaction, slave, pdu):
    """Return *pdu* as the TCP frame to or from unit *slave*."""
    return (transaction << 40 | (len(pdu) + 1) << 8 | slave).to_bytes(TCP_HEAD_BYTES, "big") + pdu


def parse_tcp_head(head):
    """Return (transaction, bytes of the PDU, unit) in the first TCP_HEAD_BYTES of a frame; raises FrameError."""
    length = int.from_bytes(head[4:6], "big")
    if head[2:4] != b"\0\0":
        raise FrameError("frame of protocol {}, not Modbus".format(int.from_bytes(head[2:4], "big")))
    if not 2 <= length <= MAX_TCP_LENGTH:
        raise FrameError("frame with length {}, not 2 to {}".format(length, MAX_TCP_LENGTH))
    return int.from_bytes(head[:2], "big"), length - 1, head[6]


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
