"""A signed reading: a snapshot of the registers, chained to the one before; defined in `protocol/reading.cddl`."""

from collections import namedtuple

from meter import cbor, envelope
from meter.errors import MalformedError

MAX_READING_BYTES = 180
NO_PREVIOUS = bytes(8)
PREVIOUS_BYTES = 8

SYNCED, HOLDOVER, UNSET = 0, 1, 2
"""Clock quality."""
BOUNDARY, PERIODIC, STARTUP, CONFIGURATION, THINNED = 0, 1, 2, 3, 4
"""Reason of a reading."""
REASONS = ("boundary", "periodic", "startup", "configuration", "thinned")
REGISTER_SET_BACK, METER_RESTARTED, JOURNAL_THINNED, METER_UNREACHABLE, COVER_OPEN = 1, 2, 4, 8, 16
"""Status flags."""
ENERGY_IMPORT, ENERGY_EXPORT = 180, 280
"""OBIS 1.8.0 and 2.8.0 in Wh; a register's code is C·100 + D·10 + E."""

_FIELDS = 10

Reading = namedtuple(
    "Reading",
    ("sequence", "time", "quality", "offset_ms", "beacon", "reason", "epoch", "registers", "status", "previous"),
)
"""registers: ((code, value), ...) by ascending code; beacon: list of 6 or None; epoch: None unless a boundary, or, of
the record of a thinning, what was removed: (first number, last, count, link of the first, hash of the last), or, of
a change of configuration, its number, or, of a start-up, the version that runs."""


def encode(reading):
    """Return the payload that is signed for *reading*."""
    registers = [item for register in reading.registers for item in register]
    return cbor.encode(
        (
            envelope.READING, reading.sequence, reading.time, reading.quality, reading.offset_ms, reading.beacon,
            reading.reason, reading.epoch, registers, reading.status, reading.previous,
        )
    )  # fmt: skip


def seal(reading, key):
    """Return *reading* signed with *key*: the envelope that goes to the journal and on the wire."""
    sealed = envelope.seal(encode(reading), key)
    if len(sealed) > MAX_READING_BYTES:
        raise MalformedError(
            "reading {} has {} bytes, more than {}".format(reading.sequence, len(sealed), MAX_READING_BYTES)
        )
    return sealed


def decode(sealed):
    """Return the Reading in one of the meter's own envelopes; raises MalformedError."""
    values = envelope.fields(envelope.parse(sealed)[1], envelope.READING, _FIELDS)
    flat = values[7]
    if not isinstance(flat, list) or len(flat) % 2 or not isinstance(values[0], int):
        raise MalformedError("not a reading")
    values[7] = tuple([(flat[place], flat[place + 1]) for place in range(0, len(flat), 2)])
    return Reading(*values)


def link(sealed):
    """Return the 8 bytes by which the next reading names the envelope *sealed* as its predecessor."""
    return envelope.digest(sealed)[:PREVIOUS_BYTES]
