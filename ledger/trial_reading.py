"""A boundary reading as a meter of the campus signs it: for trials, replays and benches, where no meter is at hand."""

from __future__ import annotations

import hashlib
from typing import Any

from ledger import envelope, keys
from ledger.reading import (
    ENERGY_EXPORT,
    ENERGY_IMPORT,
    NO_PREVIOUS,
    ClockQuality,
    Reading,
    Reason,
    Status,
    encode_payload,
)


def sign_boundary(
    key: keys.PrivateKey, sequence: int, epoch: int, epoch_s: int, registers_wh: tuple[int, int], /, **changes: Any
) -> bytes:
    """Return reading *sequence* of the meter with *key*, taken at the start of *epoch*.

    *registers_wh* is what the meter has counted of import and export. It is the first of its chain, with a clock in
    order and nothing to tell, unless *changes* says otherwise of fields of `Reading`.
    """
    import_wh, export_wh = registers_wh
    fields: dict[str, Any] = {
        "sequence": sequence, "time": epoch * epoch_s, "clock_quality": ClockQuality.SYNCED, "clock_offset_ms": 0,
        "beacon": None, "reason": Reason.BOUNDARY, "epoch": epoch,
        "registers": ((ENERGY_IMPORT, import_wh), (ENERGY_EXPORT, export_wh)), "status": Status(0),
        "previous": NO_PREVIOUS, "key_id": b"", "raw": b"",
    } | changes  # fmt: skip
    return envelope.seal(encode_payload(Reading(**fields)), key)


def link_to(raw: bytes) -> bytes:
    """Return what the next reading of the meter names as `previous`."""
    return hashlib.sha256(raw).digest()[: len(NO_PREVIOUS)]
