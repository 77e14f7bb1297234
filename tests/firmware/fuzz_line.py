"""Hostile answers on the Modbus line, RTU and TCP, as `fuzz.py` hands them out; alike on every interpreter."""

from meter import modbus, profile, sunspec
from meter.errors import LineError

SLAVE = 7
WORDS = 4
_REGISTERS = modbus.registers(4, 72, WORDS)
_IDENTIFICATION = modbus.identification()
_ANSWER = bytes([4, 2 * WORDS]) + b"\x44\x9a\x52\x25\x42\x9a\x80\x00"
_IDENTITY = bytes([43, 14, 1, 1, 0, 0, 2, 0, 3]) + b"ABC" + bytes([1, 2]) + b"DE"
_EXCEPTION = b"\x84\x02"
_CHAIN = b"SunS\x00\x01\x00\x02ABCD\x00\xcb\x00\x69" + bytes(210) + b"\xff\xff\x00\x00"
_PROFILES = [profile.load(name) for name in ("eastron_sdm630", "schneider_iem3155", "siemens_pac2200")]
_SUNSPEC = profile.load("sunspec_203")
_SUNSPEC.at(0)


class Device:
    """A line whose one slave holds *data* from SunSpec's first base on, again and again, and answers at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data or b"\0"
        self.reads = 0

    async def read(self, _slave: int, _function: int, address: int, words: int) -> bytes:
        """Return *words* registers."""
        self.reads += 1
        start = 2 * (address - sunspec.BASES[0])
        return bytes([self._data[place % len(self._data)] for place in range(start, start + 2 * words)])


def parse_rtu(data: bytes) -> None:
    """Parse a frame as it came."""
    modbus.parse_registers(modbus.parse_rtu(data, SLAVE, _REGISTERS), WORDS)


def parse_whole(data: bytes) -> None:
    """Parse a PDU whose frame is in order: address and CRC hold."""
    modbus.parse_registers(modbus.parse_rtu(modbus.rtu_frame(SLAVE, data), SLAVE, _REGISTERS), WORDS)


def parse_identity(data: bytes) -> None:
    """Parse a device identification in a frame that is in order."""
    modbus.parse_identification(modbus.parse_rtu(modbus.rtu_frame(SLAVE, data), SLAVE, _IDENTIFICATION))


def parse_tcp(data: bytes) -> None:
    """Parse a TCP frame as the client does: the head, then as many bytes as it says."""
    head, rest = data[: modbus.TCP_HEAD_BYTES], data[modbus.TCP_HEAD_BYTES :]
    if len(head) == modbus.TCP_HEAD_BYTES:
        _, count, _ = modbus.parse_tcp_head(head)
        assert 1 <= count <= modbus.MAX_TCP_LENGTH
        modbus.check_function(rest[:count], _REGISTERS)
        modbus.parse_registers(rest[:count], WORDS)


def walk(data: bytes) -> None:
    """Follow a chain of SunSpec models, and read what stands in the common one."""
    device = Device(data)
    try:
        models = finish(sunspec.walk(device, SLAVE))
        if models.get(sunspec.COMMON):
            finish(sunspec.common(device, SLAVE, models))
    finally:
        assert device.reads <= sunspec.MAX_MODELS + len(sunspec.BASES) + 3


def measure(data: bytes) -> None:
    """Make a reading of registers full of *data*."""
    for used in (_PROFILES[len(data) % len(_PROFILES)], _SUNSPEC):
        found = []
        for request in used.telemetry:
            words = bytes([data[place % len(data)] if data else 0 for place in range(2 * request.words)])
            found += profile.decode(request, words, ((180, 5), (280, 6)))
        try:
            values = profile.settle(used, found)
        except LineError:
            continue
        assert all(abs(value) < 2**63 for _, value in values)


def finish(coroutine: object) -> dict:
    """Return what *coroutine* returns; it waits for nothing."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


TARGETS = (
    (parse_rtu, (modbus.rtu_frame(SLAVE, _ANSWER), modbus.rtu_frame(SLAVE, _EXCEPTION))),
    (parse_whole, (_ANSWER, _EXCEPTION)),
    (parse_identity, (_IDENTITY,)),
    (parse_tcp, (modbus.tcp_frame(1, SLAVE, _ANSWER), modbus.tcp_frame(65535, SLAVE, _EXCEPTION))),
    (walk, (_CHAIN,)),
    (measure, (_ANSWER, _CHAIN, b"\xff\xff\x7f\xf0\x80\x00" * 3)),
)
"""(what takes the bytes, proper bytes to alter)."""
