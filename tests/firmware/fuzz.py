"""Hostile bytes for everything that comes in from network, line and files; runs alike on every interpreter.

A number is a case's only seed. Each case alters or makes up bytes and hands them to one parser, which must take them or
refuse them in its own words (MeterError): anything else that is raised, is a violation, and so is taking long over it.
A new handler is one line in TARGETS.
"""

import gc
import sys
import time
from binascii import crc32

from meter import cbor, config, configuration, ed25519, envelope, manifest, mqtt, reading, receipt, slots, sntp
from meter.errors import MeterError
from meter.inbox import Inbox
from meter.update import Updater

from tests.firmware import fuzz_line
from tests.firmware.checks.journals import Files, Life

CASE_LIMIT_MS = 2000
"""Far longer than any case takes: a busy machine is no violation."""
MAX_GROWTH = 4096
"""What may stay in memory after a campaign: bytes under MicroPython, blocks of memory under CPython."""

_METER = bytes(range(8))
_HERE = b"\x00\x11\x22\x33\x44\x55\x66\x77"
_KEY = bytes(range(32))
_JSON = (
    b'{"meter_id": "0011223344556677", "profile": "eastron_sdm120", "line": {"path": "t", "baud": 9600,'
    b' "parity": "none", "stop_bits": 1}, "slave": 1, "broker": {"host": "h", "port": 1, "ca": "c", "user": "u",'
    b' "password": "p"}, "gateway_keys": ["' + b"00" * 32 + b'"], "campus_key": "' + b"00" * 32 + b'", "epoch_s": 3,'
    b' "telemetry_s": 1, "data_dir": "d", "drain_s": 10, "network": null,'
    b' "time_servers": ["a", "b:1"]}'
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


class _Board:
    TARGET = "linux"

    def emit(self, event: dict) -> None:
        """Tell nobody."""

    def ticks_ms(self) -> int:
        """Let no time go by."""
        return 0


class _Image:
    """The slots of a board with 1000 bytes for each."""

    sector_bytes, capacity = manifest.PIECE_BYTES, 1000

    def __init__(self) -> None:
        self.data = b""

    def prepare(self, offset: int) -> None:
        """Cut it off."""
        self.data = self.data[:offset]

    def write(self, offset: int, data: bytes) -> None:
        """Append."""
        self.data += data

    def read(self, offset: int, count: int) -> bytes:
        """Return what is there."""
        return self.data[offset : offset + count]


def _seal(payload: bytes, key: bytes = _KEY) -> bytes:
    return (
        b"\x84\x4d\xa2\x01\x27\x04\x48"
        + envelope.key_id(key)
        + b"\xa0"
        + cbor.encode(payload)
        + b"\x58\x40"
        + bytes(64)
    )


_RECEIPT = cbor.encode([2, _METER, 77, bytes(32), [[70, 3]], [1, 2, bytes(8), 3, 4, bytes(8)], 5])
_CONFIGURATION = cbor.encode([3, _METER, 5, 60, [_KEY], [1, 2]])
_MANIFEST = cbor.encode([4, _METER, 3, "linux", 900, 5000, bytes(32), bytes(24)])
_PIECE = cbor.encode([5, 3, 2, bytes(900)])
_CONFIGURATION_HERE = cbor.encode([3, _HERE, 5, 60, [bytes(32)], [1, 2]])
_IMAGE = bytes(900)
_MANIFEST_HERE = cbor.encode([4, _HERE, 3, "linux", 900, 900, envelope.digest(_IMAGE), envelope.digest(_IMAGE)[:8]])
_PIECE_HERE = cbor.encode([5, 3, 0, _IMAGE])
_READING = cbor.encode([1, 7, 5, 0, 0, None, 4, [1, 2, 2, bytes(8), bytes(32)], [], 4, bytes(8)])
STREAM = (
    b"\x20\x02\x00\x00\x90\x03\xff\xff\x01\x40\x02\x00\x07"
    + mqtt.publish(mqtt.V311, "meter/aa/receipt", b"x" * 40, 513) + b"\x30\x05\x00\x01tab\xd0\x00"
)  # fmt: skip
STREAM_5 = (
    b"\x20\x1a\x00\x00\x17\x21\x00\x14\x27\x00\x00\x10\x00\x13\x00\x0a\x24\x01\x26\x00\x01a\x00\x01b\x1f\x00\x00"
    b"\x90\x04\xff\xff\x00\x01\x40\x02\x00\x07\x40\x0a\x00\x08\x87\x06\x1f\x00\x03why"
    + mqtt.publish(mqtt.V5, "meter/aa/receipt", b"x" * 40, 513)
    + b"\x30\x0b\x00\x01t\x05\x02\x00\x00\x00\x3cab\xd0\x00\xe0\x02\x8b\x00"
)


_NONCE = bytes(range(8))
_TIME = b"\x24\x02\x06\xec" + bytes(20) + 2 * b"\xed\x00\x64\x80\x80\x00\x00\x00"


def _parse_mqtt(data: bytes) -> None:
    _parse_level(mqtt.V311, data)


def _parse_mqtt_5(data: bytes) -> None:
    _parse_level(mqtt.V5, data)


def _parse_level(level: int, data: bytes) -> None:
    parser = mqtt.Parser(level)
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


def _live() -> Life:
    """Return a journal with a few readings."""
    life = Life()
    for place in range(4):
        life.sign(place % 2)
    return life


def _hear(data: bytes) -> None:
    """Let a meter's inbox take the payload *data* from a sender whom it trusts; its journal must stay fit for use."""
    life = _live()
    store = configuration.Store(Files(), config.parse(_JSON))
    before = life.journal.link()[0]
    verify, ed25519.verify = ed25519.verify, _trust
    try:
        updates = Updater(None, None, store.config, _Board(), _ignore)
        Inbox(_Board(), store, life.journal, updates, _ignore, _ignore, _ignore).accept(_seal(data, bytes(32)))
    finally:
        ed25519.verify = verify
    assert before <= life.journal.link()[0] < 2**32
    life.sign(1)


def _update(data: bytes) -> None:
    """Let a meter that receives an update take *data* as a manifest that it trusts, and as a piece."""
    image = _Image()
    found = slots.Slots(Files(), lambda *_: image)
    updates = Updater(found, None, config.parse(_JSON), _Board(), _ignore)
    verify, ed25519.verify = ed25519.verify, _trust
    try:
        for message in (_seal(_MANIFEST_HERE, bytes(32)), data, _seal(data, bytes(32)), _PIECE_HERE):
            _take_update(updates, message)
    finally:
        ed25519.verify = verify
    state = slots.unpack(slots.pack(found.state))
    assert len(image.data) <= image.capacity
    assert state.stage == slots.RECEIVING or (state.stage == slots.TRIAL and found.is_whole(0))


def _take_update(updates: Updater, message: bytes) -> None:
    try:
        updates.take(message)
    except MeterError:
        return


def _trust(*_: object) -> bool:
    return True


def _ignore(*_: object) -> None:
    """Do nothing."""


_THIRD = envelope.digest(_live().journal.find(3))
_RECEIPT_HERE = cbor.encode([2, _HERE, 3, _THIRD, [[70, 3]], [1, 2, bytes(8), 3, 4, bytes(8)], 5])

TARGETS = (
    (_parse_mqtt, (STREAM,)),
    (_parse_mqtt_5, (STREAM_5,)),
    (cbor.decode, (_RECEIPT, _CONFIGURATION, _READING, _MANIFEST)),
    (_take_message, (_seal(_RECEIPT), _seal(_CONFIGURATION), _seal(_MANIFEST), _PIECE)),
    (lambda data: _take_message(_seal(data)), (_RECEIPT, _CONFIGURATION, _MANIFEST)),
    (lambda data: reading.decode(_seal(data)), (_READING,)),
    (config.parse, (_JSON,)),
    (_unpack_state, (slots.pack(slots.State(0, slots.TRIAL, 2, 3, 1, 1, (_seal(_MANIFEST),) * 2))[:-4],)),
    (_update, (_MANIFEST_HERE, _PIECE_HERE)),
    (_hear, (_RECEIPT_HERE, _CONFIGURATION_HERE)),
    (lambda data: sntp.parse(data[:24] + _NONCE + data[24:], _NONCE), (_TIME,)),
) + fuzz_line.TARGETS
"""(what takes the bytes, proper bytes to alter)."""


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
        start_ms = _now_ms()
        try:
            target(data)
        except MeterError:
            pass
        except Exception as error:
            violations.append(f"case {number}: {type(error).__name__} {error} from {data.hex()}")
        if _now_ms() - start_ms > CASE_LIMIT_MS:
            violations.append(f"case {number}: took {_now_ms() - start_ms} ms over {data.hex()}")
    return violations


def campaign(first: int, count: int) -> list:
    """Run so many cases; return what was violated, memory that grew included."""
    warm = count // 10
    violations = run(first, warm)
    before = in_use()
    violations += run(first + warm, count - warm)
    growth = in_use() - before
    if growth > MAX_GROWTH:
        violations.append(f"cases {first} to {first + count}: memory grew by {growth}")
    return violations


def in_use() -> int:
    """Return how much memory is in use: in bytes under MicroPython, in blocks under CPython."""
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else sys.getallocatedblocks()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
