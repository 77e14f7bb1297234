"""Boundary readings as they reach the ledger: every node checks the meter's own signature and the reading's time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from ledger import reading
from ledger.codes import Code, Refusal
from ledger.errors import MalformedError
from ledger.modules import meters
from ledger.modules.anchors import BeaconVerdict, judge_beacon
from ledger.modules.meters import Meter, MeterKey
from ledger.modules.module import Context
from ledger.reading import ENERGY_EXPORT, ENERGY_IMPORT, Reading, Reason
from ledger.state import Reader

MIN_TIME_TOLERANCE_S: Final = 2
TOLERANCE_SHARE: Final = 100
"""A boundary reading lies within max(2 s, 1/100 of the epoch) of its boundary."""

MAX_REMEMBERED: Final = 16_384
"""Readings are decoded once, when they are admitted: what was decoded lasts until their block is executed."""


class CheckedBoundary(NamedTuple):
    """A boundary reading whose signature and time were checked: the registers of a meter at the start of `epoch`.

    `key_id` names the meter's key that signed it.
    `has_false_beacon` tells that its beacon is not of this chain: it bounds nothing, and somebody should look.
    """

    meter_id: bytes
    meter: Meter
    epoch: int
    time_s: int
    import_wh: int
    export_wh: int
    hash: bytes
    key_id: bytes
    has_false_beacon: bool


def check_boundary(context: Context, raw: bytes) -> CheckedBoundary | Refusal:
    """Return the boundary reading in the envelope *raw*, fully checked, or why it does not count."""
    try:
        decoded, digest = _decode(raw)
    except MalformedError as error:
        return Refusal(Code.READING_UNDECODABLE, str(error))
    if decoded.reason is not Reason.BOUNDARY or decoded.epoch is None:
        return Refusal(Code.READING_NOT_BOUNDARY, f"it is a {decoded.reason.name.lower()} reading")
    found = meters.find_by_key(context.state, decoded.key_id)
    if found is None:
        return Refusal(Code.READING_KEY_UNKNOWN, f"no meter has the key {decoded.key_id.hex()}")
    key, meter = found
    verdict = judge_beacon(context, decoded.beacon)
    tolerance_s = max(MIN_TIME_TOLERANCE_S, context.parameters.epoch_s // TOLERANCE_SHARE)
    refusal = _refuse_key(context, key, decoded) or _refuse_time(context, decoded, decoded.epoch, tolerance_s)
    refusal = refusal or _refuse_bracket(decoded, verdict, tolerance_s)
    if refusal is not None:
        return refusal
    meter_id, imported, exported = key.meter, decoded.register(ENERGY_IMPORT), decoded.register(ENERGY_EXPORT)
    if imported is None or exported is None:
        return Refusal(Code.READING_LACKS_REGISTER, f"meter {meter_id.hex()}: it lacks register 1.8.0 or 2.8.0")
    return CheckedBoundary(
        meter_id, meter, decoded.epoch, decoded.time, imported, exported, digest, decoded.key_id,
        verdict is BeaconVerdict.FALSE,
    )  # fmt: skip


def find_keys(view: Reader, raws: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Return (envelope, public key) of those readings whose claimed meter key is known: what can be checked ahead."""
    pairs: list[tuple[bytes, bytes]] = []
    for raw in raws:
        try:
            row = view.get(meters.METER_KEYS, _decode(raw)[0].key_id)
        except MalformedError:
            continue  # the call refuses this reading under its own code
        if row is not None:
            pairs.append((raw, row.public_key))
    return pairs


@lru_cache(maxsize=MAX_REMEMBERED)
def _decode(raw: bytes) -> tuple[Reading, bytes]:
    """Return the reading in the envelope *raw* and its hash; raises MalformedError."""
    decoded = reading.decode(raw)
    return decoded, decoded.hash


def _refuse_key(context: Context, key: MeterKey, decoded: Reading) -> Refusal | None:
    if not context.signatures.is_signed_by(decoded.raw, key.public_key):
        return Refusal(Code.READING_BAD_SIGNATURE, f"meter {key.meter.hex()} did not sign it")
    if key.is_revoked(context.height):
        text = f"meter {key.meter.hex()}: its key is revoked from block {key.revoked_from} on"
        return Refusal(Code.READING_KEY_REVOKED, text)
    last = key.last_sequence
    if decoded.sequence < key.first_sequence or (last is not None and decoded.sequence > last):
        text = f"meter {key.meter.hex()}: reading {decoded.sequence} belongs to another of its keys"
        return Refusal(Code.READING_KEY_ENDED, text)
    return None


def _refuse_time(context: Context, decoded: Reading, epoch: int, tolerance_s: int) -> Refusal | None:
    boundary_s = epoch * context.parameters.epoch_s
    if abs(decoded.time - boundary_s) > tolerance_s:
        return Refusal(Code.READING_TIME_OFF, f"its time {decoded.time} is more than {tolerance_s} s off {boundary_s}")
    if boundary_s > context.time_s + tolerance_s:
        return Refusal(Code.READING_FROM_FUTURE, f"boundary {boundary_s} is after the block's time {context.time_s}")
    return None


def _refuse_bracket(decoded: Reading, verdict: BeaconVerdict, tolerance_s: int) -> Refusal | None:
    """Refuse a reading that was made later than it says: it carries a block of this chain that is younger than it."""
    beacon = decoded.beacon
    if beacon is None or verdict is not BeaconVerdict.TRUE or decoded.time + tolerance_s >= beacon.block_time:
        return None
    return Refusal(
        Code.READING_BEFORE_BEACON,
        f"its time {decoded.time} is more than {tolerance_s} s before that of block {beacon.height}, which it names",
    )
