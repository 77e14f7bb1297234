"""Makes `tests/data/reading-vectors.json`: readings and receipts as the ledger's codec encodes and signs them.

Run `python -m tests.firmware.vectors` after a change of the formats; the firmware is then held to these bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ledger import cbor, envelope, reading
from ledger.keys import PrivateKey

FILE = Path(__file__).parents[1] / "data" / "reading-vectors.json"
SEED = bytes(range(32))
GATEWAY_SEED = b"\x07" * 32
METER_ID = bytes.fromhex("0011223344556677")
BEACON = reading.Beacon(4_000_000_000, 1_795_000_000, b"\x11" * 8, 4_294_967_295, 1_795_000_030, b"\xee" * 8)
_FIELDS = (
    # sequence, time, quality, offset_ms, beacon, reason, epoch or what was thinned, registers, status, previous
    (1, 1_795_000_000, 0, 0, None, 2, None, ((180, 0), (280, 0)), 2, bytes(8)),
    (24, 1_795_000_500, 0, -32767, BEACON, 0, 1_994_445, ((180, 123_456_789), (280, 23)), 0, b"\x01" * 8),
    (4_294_967_295, 4_294_967_295, 2, 32767, BEACON, 0, 4_294_967_295, ((180, 2**40), (280, 2**40)), 31, b"\xff" * 8),
    (65_536, 1_795_000_560, 1, 255, None, 1, None,
     ((180, 65_536), (280, 255), (1670, -1500), (3270, 2305), (5270, 2299), (7270, 2310)), 4, b"\x80" * 8),
    (256, 1_795_000_620, 0, 24, None, 1, None, ((1670, -(2**63) + 1),), 8, b"\x7f" * 8),
    (70_000, 1_795_000_580, 1, 0, None, 4, reading.Thinned(65_537, 65_600, 50, b"\x22" * 8, b"\x33" * 32), (), 4,
     b"\x44" * 8),
    (4_000_000_000, 1_795_000_585, 2, 0, None, 2, 4_294_967_295,
     ((180, 2**40), (280, 2**40), (1670, -(2**31)), (3270, 2305), (5270, 2299), (7270, 2310)), 31, b"\x66" * 8),
    (70_001, 1_795_000_590, 0, 0, None, 3, 41, ((180, 1), (280, 2)), 0, b"\x55" * 8),
)  # fmt: skip


def main() -> None:
    """Write the file."""
    vectors = {
        "seed": SEED.hex(),
        "public_key": PrivateKey(SEED).public_key.hex(),
        "gateway_key": PrivateKey(GATEWAY_SEED).public_key.hex(),
        "meter_id": METER_ID.hex(),
        "readings": [_reading(*fields) for fields in _FIELDS],
        "receipts": [_receipt(77, []), _receipt(2**32 - 1, [[70, 3], [71, 4]])],
    }
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")


def _reading(*fields: Any) -> dict[str, Any]:
    sequence, time, quality, offset_ms, beacon, reason, about, registers, status, previous = fields
    thinned = about if isinstance(about, reading.Thinned) else None
    epoch = about if reason == reading.Reason.BOUNDARY else None
    payload = reading.encode_payload(
        reading.Reading(
            sequence, time, reading.ClockQuality(quality), offset_ms, beacon, reading.Reason(reason), epoch, registers,
            reading.Status(status), previous, b"", b"", thinned,
            about if reason == reading.Reason.CONFIGURATION else None,
            about if reason == reading.Reason.STARTUP else None,
        )
    )  # fmt: skip
    return {
        "sequence": sequence, "time": time, "quality": quality, "offset_ms": offset_ms,
        "beacon": beacon and _beacon_json(beacon), "reason": reason,
        "epoch": [thinned.first, thinned.last, thinned.count, thinned.previous.hex(), thinned.hash.hex()]
        if thinned else about,
        "registers": [list(pair) for pair in registers], "status": status, "previous": previous.hex(),
        "payload": payload.hex(), "envelope": envelope.seal(payload, PrivateKey(SEED)).hex(),
    }  # fmt: skip


def _receipt(sequence: int, refused: list[list[int]]) -> dict[str, Any]:
    digest = bytes(range(32))
    beacon = BEACON if refused else None
    fields = beacon and [
        beacon.height, beacon.block_time, beacon.block_id_head,
        beacon.anchor, beacon.anchor_time, beacon.anchor_hash_head,
    ]  # fmt: skip
    payload = cbor.encode([2, METER_ID, sequence, digest, refused, fields, 1_795_000_700])
    return {
        "sequence": sequence, "hash": digest.hex(), "refused": refused, "beacon": beacon and _beacon_json(beacon),
        "time": 1_795_000_700, "envelope": envelope.seal(payload, PrivateKey(GATEWAY_SEED)).hex(),
    }  # fmt: skip


def _beacon_json(beacon: reading.Beacon) -> list[int | str]:
    return [
        beacon.height, beacon.block_time, beacon.block_id_head.hex(),
        beacon.anchor, beacon.anchor_time, beacon.anchor_hash_head.hex(),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
