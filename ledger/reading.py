"""A meter's signed reading: its format, and the checks that gateway and ledger share.

`firmware/protocol/PROTOCOL.md` and `reading.cddl` define the format; the firmware has its own codec, and the vectors
in `tests/data/` hold the two to the same bytes. Energy in Wh, time in Unix seconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple, TypeVar, cast

from ledger import cbor, envelope
from ledger.errors import MalformedError

MAX_READING_BYTES: Final = 180
PREVIOUS_BYTES: Final = 8
NO_PREVIOUS: Final = bytes(PREVIOUS_BYTES)
HASH_HEAD_BYTES: Final = 8
HASH_BYTES: Final = 32
MAX_REGISTERS: Final = 16
ENERGY_IMPORT: Final = 180
"""OBIS 1.8.0, active energy import; codes are C.D.E written without dots (C·100 + D·10 + E, D and E below 10)."""
ENERGY_EXPORT: Final = 280
"""OBIS 2.8.0, active energy export."""
E = TypeVar("E", bound=IntEnum)
_FIELDS: Final = 10
_MAX_UINT32: Final = 2**32 - 1
_MAX_INT64: Final = 2**63 - 1


class ClockQuality(IntEnum):
    """How far the meter trusts its own clock."""

    SYNCED = 0
    HOLDOVER = 1
    UNSET = 2


class Reason(IntEnum):
    """Why the meter took this reading."""

    BOUNDARY = 0
    PERIODIC = 1
    STARTUP = 2
    CONFIGURATION = 3
    THINNED = 4


class Status(IntFlag):
    """Flags about the meter and its registers at the time of the reading."""

    REGISTER_SET_BACK = 1
    METER_RESTARTED = 2
    JOURNAL_THINNED = 4
    METER_UNREACHABLE = 8
    COVER_OPEN = 16


_STATUSES: Final = tuple(map(Status, range(256)))


@dataclass(frozen=True, slots=True)
class Beacon:
    """What bounds a reading's time from below: the newest finalised block and the gateway's newest anchor."""

    height: int
    block_time: int
    block_id_head: bytes
    anchor: int
    anchor_time: int
    anchor_hash_head: bytes


@dataclass(frozen=True, slots=True)
class Thinned:
    """A run of readings that the meter gave up for want of room: numbers `first` to `last`, `count` of them.

    `previous` is what the first of them named as its predecessor, `hash` (32 bytes) the identity of the last.
    """

    first: int
    last: int
    count: int
    previous: bytes
    hash: bytes


class Reading(NamedTuple):
    """One snapshot of a meter's registers, as signed. `raw` is the envelope, `key_id` names the key it claims.

    `configuration` is the number of the configuration that holds from here on, where the reason says that it changed;
    `version`, of a start-up reading, that of the meter's application (None: the one that it was delivered with).
    """

    sequence: int
    time: int
    clock_quality: ClockQuality
    clock_offset_ms: int
    beacon: Beacon | None
    reason: Reason
    epoch: int | None
    registers: tuple[tuple[int, int], ...]
    status: Status
    previous: bytes
    key_id: bytes
    raw: bytes
    thinned: Thinned | None = None
    configuration: int | None = None
    version: int | None = None

    @property
    def hash(self) -> bytes:
        """The reading's 32-byte identity: SHA-256 of its envelope."""
        return hashlib.sha256(self.raw).digest()

    def register(self, obis: int) -> int | None:
        """Return the value of register *obis* (such as `ENERGY_IMPORT`), or None where the reading lacks it."""
        for code, value in self.registers:
            if code == obis:
                return value
        return None

    def is_signed_by(self, public_key: bytes) -> bool:
        """Tell whether the meter key *public_key* signed this reading."""
        return envelope.parse(self.raw).is_signed_by(public_key)


@dataclass(frozen=True, slots=True)
class VerifiedReading:
    """A reading whose signature was checked against the key of `meter_id`: the only kind that is stored as one."""

    meter_id: bytes
    reading: Reading


def decode(raw: bytes) -> Reading:
    """Return the reading that the envelope *raw* carries, signature unchecked; raises MalformedError."""
    if len(raw) > MAX_READING_BYTES:
        raise MalformedError(f"a reading has at most {MAX_READING_BYTES} bytes, not {len(raw)}")
    signed = envelope.parse(raw)
    values = envelope.fields(signed.payload, envelope.Kind.READING, _FIELDS)
    sequence, time, quality, offset_ms, beacon, reason, about, registers, status, previous = values
    _require(_is_uint(sequence) and sequence > 0, "sequence is not in 1..2^32-1")
    _require(_is_uint(time), "time is not in 0..2^32-1")
    _require(type(offset_ms) is int and abs(offset_ms) <= 32767, "clock offset is beyond 32767 ms")
    _require(type(previous) is bytes and len(previous) == PREVIOUS_BYTES, "previous is not 8 bytes")
    _require(_is_uint(status) and status < 256, "status is not in 0..255")
    kind = _member(Reason, reason, "reason")
    _require(_is_about(kind, about), "epoch, configuration or version do not fit the reason")
    return Reading(
        sequence, time, _member(ClockQuality, quality, "clock quality"), offset_ms, _beacon(beacon), kind,
        about if kind is Reason.BOUNDARY else None,
        _registers(registers), _STATUSES[status], previous, signed.key_id, raw,
        _thinned(about, sequence) if kind is Reason.THINNED else None,
        about if kind is Reason.CONFIGURATION else None,
        about if kind is Reason.STARTUP else None,
    )  # fmt: skip


def encode_payload(reading: Reading) -> bytes:
    """Return the payload that a meter would sign for *reading* (its `key_id` and `raw` play no part)."""
    beacon = reading.beacon and [
        reading.beacon.height, reading.beacon.block_time, reading.beacon.block_id_head,
        reading.beacon.anchor, reading.beacon.anchor_time, reading.beacon.anchor_hash_head,
    ]  # fmt: skip
    run = reading.thinned
    about: cbor.Value = [run.first, run.last, run.count, run.previous, run.hash] if run else reading.epoch
    if reading.reason is Reason.CONFIGURATION:
        about = reading.configuration
    elif reading.reason is Reason.STARTUP:
        about = reading.version
    return cbor.encode([
        int(envelope.Kind.READING), reading.sequence, reading.time, int(reading.clock_quality),
        reading.clock_offset_ms, beacon, int(reading.reason), about,
        [item for register in reading.registers for item in register], int(reading.status), reading.previous,
    ])  # fmt: skip


def obis_text(code: int) -> str:
    """Return register *code* as OBIS C.D.E text: 180 is 1.8.0."""
    return f"{code // 100}.{code // 10 % 10}.{code % 10}"


def _is_about(kind: Reason, about: cbor.Value) -> bool:
    """Tell whether *about* may stand beside a reason of that *kind*; what was thinned is looked at where it is read."""
    if kind is Reason.BOUNDARY:
        return _is_uint(about)
    return kind is Reason.THINNED or about is None or (kind is not Reason.PERIODIC and _is_uint(about))


def _beacon(values: cbor.Value) -> Beacon | None:
    if values is None:
        return None
    _require(type(values) is list and len(values) == 6, "beacon has not 6 fields")
    _require(all(_is_uint(values[place]) for place in (0, 1, 3, 4)), "beacon numbers are not in 0..2^32-1")
    heads = (values[2], values[5])
    _require(
        all(type(head) is bytes and len(head) == HASH_HEAD_BYTES for head in heads), "beacon hash heads are not 8 bytes"
    )
    return Beacon(*values)


def _thinned(values: cbor.Value, sequence: int) -> Thinned:
    _require(type(values) is list and len(values) == 5, "what was thinned has not 5 fields")
    first, last, count, previous, hash_ = values
    _require(all(_is_uint(value) for value in (first, last, count)), "thinned numbers are not in 0..2^32-1")
    _require(0 < first <= last < sequence, "thinned numbers are not below the record's own")
    _require(0 < count <= last - first + 1, "more readings thinned than numbers")
    _require(type(previous) is bytes and len(previous) == PREVIOUS_BYTES, "thinned previous is not 8 bytes")
    _require(type(hash_) is bytes and len(hash_) == HASH_BYTES, "thinned hash is not 32 bytes")
    return Thinned(first, last, count, previous, hash_)


def _registers(values: cbor.Value) -> tuple[tuple[int, int], ...]:
    _require(type(values) is list and len(values) % 2 == 0, "registers are not pairs")
    _require(len(values) <= 2 * MAX_REGISTERS, "more registers than a reading may have")
    before, pairs = 0, []
    for code, value in zip(values[::2], values[1::2], strict=True):
        if type(code) is not int or type(value) is not int or abs(value) > _MAX_INT64:
            raise MalformedError("malformed reading: a register is not an int64")
        if not before < code < 2**16:
            raise MalformedError("malformed reading: register codes do not ascend")
        if value < 0 and code in (ENERGY_IMPORT, ENERGY_EXPORT):
            raise MalformedError("malformed reading: energy is negative")
        pairs.append((code, value))
        before = code
    return tuple(pairs)


def _is_uint(value: cbor.Value) -> bool:
    return type(value) is int and 0 <= value <= _MAX_UINT32


def _member(kind: type[E], value: cbor.Value, name: str) -> E:
    member = kind._value2member_map_.get(value) if type(value) is int else None
    if member is None:
        raise MalformedError(f"malformed reading: {name} {value!r} is unknown")
    return cast(E, member)


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise MalformedError(f"malformed reading: {text}")
