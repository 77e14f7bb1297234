"""Hostile bytes for everything that comes in from the network; runs alike on CPython and under MicroPython.

A number is a case's only seed. Each case alters or makes up bytes and hands them to one parser, which must take them or
refuse them in its own words (MeterError): anything else that is raised, is a violation.
"""

from binascii import crc32

from meter import cbor, config, configuration, envelope, manifest, mqtt, reading, receipt, slots
from meter.errors import MeterError

_METER = bytes(range(8))
_KEY = bytes(range(32))
_JSON = (
    b'{"meter_id": "0011223344556677", "profile": "eastron_sdm120", "line": {"path": "t", "baud": 9600,'
    b' "parity": "none", "stop_bits": 1}, "slave": 1, "broker": {"host": "h", "port": 1, "ca": "c", "user": "u",'
    b' "password": "p"}, "gateway_keys": ["' + b"00" * 32 + b'"], "campus_key": "' + b"00" * 32 + b'", "epoch_s": 3,'
    b' "telemetry_s": 1, "data_dir": "d", "drain_s": 10, "network": null}'
)


class Source:
    """A small random source (xorshift, 32 bits): the same numbers from the same seed everywhere."""

    def __init__(self, seed: int) -> None:
        self._state = (seed * 2_654_435_761 + 1) & 0xFFFFFFFF or 1
        for _ in range(4):
            self.below(2)

    def below(self, limit: int) -> int:
        """Return a number from 0 to *limit* - 1."""
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        self._state = state = (state ^ state << 5) & 0xFFFFFFFF
        return (state >> 3) % limit

    def take(self, count: int) -> bytes:
        """Return *count* bytes."""
        return bytes([self.below(256) for _ in range(count)])


class _Config:
    meter_id, campus_key = _METER, _KEY


def _seal(payload: bytes) -> bytes:
    return (
        b"\x84\x4d\xa2\x01\x27\x04\x48"
        + envelope.key_id(_KEY)
        + b"\xa0"
        + cbor.encode(payload)
        + b"\x58\x40"
        + bytes(64)
    )


_RECEIPT = cbor.encode([2, _METER, 77, bytes(32), [[70, 3]], [1, 2, bytes(8), 3, 4, bytes(8)], 5])
_CONFIGURATION = cbor.encode([3, _METER, 5, 60, [_KEY], [1, 2]])
_MANIFEST = cbor.encode([4, _METER, 3, "linux", 900, 5000, bytes(32), bytes(24)])
_PIECE = cbor.encode([5, 3, 2, bytes(900)])
_READING = cbor.encode([1, 7, 5, 0, 0, None, 4, [1, 2, 2, bytes(8), bytes(32)], [], 4, bytes(8)])
_STREAM = (
    b"\x20\x02\x00\x00\x90\x03\xff\xff\x01\x40\x02\x00\x07"
    + mqtt.publish("meter/aa/receipt", b"x" * 40, 513) + b"\x30\x05\x00\x01tab\xd0\x00"
)  # fmt: skip


def _parse_mqtt(data: bytes) -> None:
    parser = mqtt.Parser()
    for place in range(0, len(data), 7):
        parser.feed(data[place : place + 7])


def _take_message(data: bytes) -> None:
    kind = envelope.kind_of(data)
    if kind == envelope.CONFIGURATION:
        configuration.open_sealed(data, _Config)
    elif kind == envelope.UPDATE:
        manifest.decode(data)
    elif kind == envelope.PIECE:
        manifest.decode_piece(data)
    else:
        receipt.decode(data)


def _unpack_state(data: bytes) -> None:
    slots.unpack(data + crc32(data).to_bytes(4, "big"))


TARGETS = (
    (_parse_mqtt, (_STREAM,)),
    (cbor.decode, (_RECEIPT, _CONFIGURATION, _READING, _MANIFEST)),
    (_take_message, (_seal(_RECEIPT), _seal(_CONFIGURATION), _seal(_MANIFEST), _PIECE)),
    (lambda data: _take_message(_seal(data)), (_RECEIPT, _CONFIGURATION, _MANIFEST)),
    (lambda data: reading.decode(_seal(data)), (_READING,)),
    (config.parse, (_JSON,)),
    (_unpack_state, (slots.pack(slots.State(0, slots.TRIAL, 2, 3, 1, 1, (_seal(_MANIFEST),) * 2))[:-4],)),
)


def alter(source: Source, data: bytes) -> bytes:
    """Return *data* with up to four bytes changed, removed or put in, or cut, or bytes that come from nowhere."""
    if source.below(16) == 0:
        return source.take(source.below(64))
    altered = bytearray(data)
    for _ in range(1 + source.below(4)):
        place = source.below(len(altered) + 1)
        choice = source.below(4)
        if choice == 0:
            altered = altered[:place] + altered[place + 1 :]
        elif choice == 1:
            altered = altered[:place] + source.take(1 + source.below(3)) + altered[place:]
        elif choice == 2 and place < len(altered):
            altered[place] = source.below(256)
        elif source.below(8) == 0:
            altered = altered[:place]
    return bytes(altered)


def run(first: int, count: int) -> list:
    """Run *count* cases from number *first*; return what was violated, one text each."""
    violations = []
    for number in range(first, first + count):
        source = Source(number)
        target, seeds = TARGETS[number % len(TARGETS)]
        data = alter(source, seeds[source.below(len(seeds))])
        try:
            target(data)
        except MeterError:
            continue
        except Exception as error:
            violations.append(f"case {number}: {type(error).__name__} {error} from {data.hex()}")
    return violations
