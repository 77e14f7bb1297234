"""Altered readings: whatever bytes are changed, a reading is refused in good order and never taken for genuine."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ledger import envelope, keys, reading
from ledger.errors import MalformedError

ALTERATIONS_PER_UNIT = 500
KEY = keys.PrivateKey(bytes(range(32)))
MAX_UINT32 = 2**32 - 1


def alter_reading(number: int) -> list[str]:
    """Make one random reading and alter it many times; return each alteration that was taken for genuine."""
    source = random.Random(number)
    genuine = _reading(source)
    found = reading.decode(genuine)
    if not found.is_signed_by(KEY.public_key):
        return [f"a genuine reading is refused: {genuine.hex()}"]
    return [
        f"accepted though altered: {altered.hex()}" for altered in _alterations(genuine, source) if _passes(altered)
    ]


def _reading(source: random.Random) -> bytes:
    is_boundary = source.random() < 0.5
    registers = tuple((code, source.randrange(2**40)) for code in ((180, 280) if is_boundary else (180, 280, 1670)))
    fields = reading.Reading(
        sequence=source.randint(1, MAX_UINT32),
        time=source.randint(0, MAX_UINT32),
        clock_quality=source.choice(list(reading.ClockQuality)),
        clock_offset_ms=source.randint(-32767, 32767),
        beacon=None,
        reason=reading.Reason.BOUNDARY if is_boundary else reading.Reason.PERIODIC,
        epoch=source.randint(0, MAX_UINT32) if is_boundary else None,
        registers=registers,
        status=reading.Status(source.randrange(32)),
        previous=source.randbytes(reading.PREVIOUS_BYTES),
        key_id=b"",
        raw=b"",
    )
    return envelope.seal(reading.encode_payload(fields), KEY)


def _alterations(genuine: bytes, source: random.Random) -> Iterator[bytes]:
    for _ in range(ALTERATIONS_PER_UNIT):
        altered = bytearray(genuine)
        for _ in range(source.randint(1, 3)):
            place = source.randrange(len(altered))
            match source.randrange(3):
                case 0:
                    altered[place] ^= 1 << source.randrange(8)
                case 1:
                    del altered[place]
                case _:
                    altered.insert(place, source.randrange(256))
        if altered != genuine:
            yield bytes(altered)


def _passes(altered: bytes) -> bool:
    try:
        return reading.decode(altered).is_signed_by(KEY.public_key)
    except MalformedError:
        return False
