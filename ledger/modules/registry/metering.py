"""Meters: their assignment, their baselines, and their keys.

A key is valid for a range of sequence numbers and until a height. `rotate_meter_key` is signed by the old key and an
admin; `revoke_meter_key` refuses every report in blocks from a height on, whatever its readings' times; a meter whose
key is revoked gets another by `replace_meter_key`, and counts again from its `rebase`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any, Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.keys import key_id
from ledger.modules import meters
from ledger.modules.kinds import (
    AccountId,
    Boolean,
    Height,
    KeyId,
    Label,
    MeterId,
    PublicKey,
    RatedPower,
    ReadingEnvelope,
    Sequence,
    Signed,
)  # fmt: skip
from ledger.modules.meters import Mark, Meter, MeterStatus
from ledger.modules.module import Context, Look
from ledger.modules.readings import check_boundary
from ledger.modules.registry.tables import DUE_REVOCATIONS, MAX_METERS_PER_USER, USERS, Waiting, module
from ledger.modules.registry.users import count_meters
from ledger.statements import is_meter_key

MAX_REVOCATIONS_PER_BLOCK: Final = 64
_HEIGHT_BYTES: Final = 8


@module.call(Role.ADMIN)
def assign_meter(
    context: Context,
    meter: MeterId,
    owner: AccountId,
    profile: Label,
    rated_power_w: RatedPower,
    public_key: PublicKey,
    can_export: Boolean,
    site: Label,
) -> Refusal | None:
    """Give a user a meter, with the key that signs its readings. It trades once `rebase` gave it a baseline.

    *site* is the label of a building or feeder, never a name or an address.
    """
    user = context.state.get(USERS, owner)
    if user is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no user {owner.hex()}")
    if count_meters(context.state, owner) >= MAX_METERS_PER_USER:
        return Refusal(Code.TOO_MANY_METERS, f"the person has {MAX_METERS_PER_USER} meters already")
    status = int(MeterStatus.ACTIVE)
    row = Meter(owner, profile, rated_power_w, public_key, can_export, status, context.time_ms, site, ())
    refusal = meters.add(context.state, meter, row)
    if refusal is not None:
        return refusal
    context.state.put(USERS, owner, replace(user, meters=user.meters + 1))
    context.emit("registry", "meter_assigned", meter=meter, owner=owner)
    return None


@module.call(Role.ADMIN)
def rebase(context: Context, meter: MeterId, reading: ReadingEnvelope) -> Refusal | None:
    """Set, lower or replace a meter's baseline with one of its boundary readings; lifts a suspension.

    Energy between the old mark and the new one is booked by nobody, which the event shows.
    """
    checked = check_boundary(context, reading)
    if isinstance(checked, Refusal):
        return checked
    if checked.meter_id != meter:
        return Refusal(Code.READING_NOT_OF_METER, f"the reading is of meter {checked.meter_id.hex()}")
    before = context.state.get(meters.MARKS, meter)
    if before is not None and checked.epoch < before.epoch:
        # Booking would start again before what is booked already, and count that energy twice.
        return Refusal(Code.READING_OUTDATED, f"meter {meter.hex()} is booked up to epoch {before.epoch} already")
    imported, exported = checked.import_wh, checked.export_wh
    mark = Mark(checked.epoch, checked.time_s, imported, exported, imported, exported, checked.hash, checked.key_id)
    meters.set_mark(context.state, meter, mark)
    meters.set_status(context.state, meter, MeterStatus.ACTIVE)
    context.emit(
        "registry", "rebased", meter=meter, epoch=mark.epoch, import_wh=imported, export_wh=exported,
        import_before_wh=before and before.import_high_wh, export_before_wh=before and before.export_high_wh,
    )  # fmt: skip
    return None


@module.call(Role.ADMIN)
def reinstate_meter(context: Context, meter: MeterId) -> Refusal | None:
    """Lift a meter's suspension and keep its mark: what it measured meanwhile is booked as a gap interval."""
    row = meters.find(context.state, meter)
    if row is None:
        return _refuse_unknown(meter)
    if row.status != MeterStatus.SUSPENDED:
        return Refusal(Code.METER_NOT_SUSPENDED, f"meter {meter.hex()} is not suspended")
    if _is_keyless(context, row):
        return Refusal(Code.METER_WITHOUT_KEY, f"the key of meter {meter.hex()} is revoked")
    meters.set_status(context.state, meter, MeterStatus.ACTIVE)
    context.emit("registry", "meter_reinstated", meter=meter)
    return None


@module.call(Role.ADMIN)
def suspend_meter(context: Context, meter: MeterId) -> Refusal | None:
    """Stop a meter's reports and orders until `reinstate_meter` or `rebase`; it holds up no settlement."""
    row = meters.find(context.state, meter)
    if row is None:
        return _refuse_unknown(meter)
    if row.status == MeterStatus.SUSPENDED:
        return Refusal(Code.METER_SUSPENDED, f"meter {meter.hex()} is suspended already")
    meters.set_status(context.state, meter, MeterStatus.SUSPENDED)
    context.emit("registry", "meter_suspended", meter=meter)
    return None


@module.call(Role.ADMIN)
def rotate_meter_key(
    context: Context, meter: MeterId, public_key: PublicKey, first_sequence: Sequence, consent: Signed
) -> Refusal | None:
    """Have another key sign a meter's readings from *first_sequence* on; the old one keeps those before it.

    *consent* is `ledger.statements.sign_meter_key` with the old key.
    """
    row = meters.find(context.state, meter)
    if row is None:
        return _refuse_unknown(meter)
    old_id = row.key_ids[-1]
    old = context.state.get(meters.METER_KEYS, old_id)
    if old is None or old.revoked_from is not None:
        return Refusal(Code.METER_WITHOUT_KEY, f"the key of meter {meter.hex()} is revoked; replace it")
    if first_sequence <= old.first_sequence:
        return Refusal(Code.SEQUENCE_TAKEN, f"the old key signs from {old.first_sequence} on; begin later")
    if not is_meter_key(consent, context.genesis.chain_id, meter, public_key, first_sequence, row.public_key):
        return Refusal(Code.KEY_NOT_PROVEN, f"the key of meter {meter.hex()} did not sign that another follows it")
    refusal = meters.add_key(context.state, meter, row, public_key, first_sequence)
    if refusal is None:
        context.state.put(meters.METER_KEYS, old_id, replace(old, last_sequence=first_sequence - 1))
        context.emit(
            "registry", "meter_key_rotated", meter=meter, key=key_id(public_key), first_sequence=first_sequence
        )
    return refusal


@module.call(Role.ADMIN)
def revoke_meter_key(context: Context, key: KeyId, from_height: Height) -> Refusal | None:
    """Take no reading that *key* signed in any block from *from_height* on. Can be brought forward, not put off.

    From then on its meter is suspended, if it has no newer key.
    """
    row, name = context.state.get(meters.METER_KEYS, key), f"key {key.hex()}"
    if row is None:
        return Refusal(Code.UNKNOWN_METER, f"no meter has the {name}")
    if from_height < context.height:
        return Refusal(Code.HEIGHT_PASSED, f"block {from_height} is made already, this is {context.height}")
    if row.revoked_from is not None and row.revoked_from <= from_height:
        return Refusal(Code.ALREADY_REVOKED, f"the {name} is revoked from block {row.revoked_from} on already")
    if row.revoked_from is not None:
        context.state.delete(DUE_REVOCATIONS, _due_key(row.revoked_from, key))
    context.state.put(meters.METER_KEYS, key, replace(row, revoked_from=from_height))
    context.state.put(DUE_REVOCATIONS, _due_key(from_height, key), Waiting())
    context.emit("registry", "meter_key_revoked", meter=row.meter, key=key, from_height=from_height)
    suspend_keyless(context)
    return None


@module.call(Role.ADMIN)
def replace_meter_key(context: Context, meter: MeterId, public_key: PublicKey) -> Refusal | None:
    """Give a meter whose key is revoked another one (a new device, say). It counts again from its `rebase`."""
    row = meters.find(context.state, meter)
    if row is None:
        return _refuse_unknown(meter)
    if not _is_keyless(context, row):
        return Refusal(Code.METER_HAS_KEY, f"meter {meter.hex()} has a key; rotate or revoke it")
    meters.set_status(context.state, meter, MeterStatus.SUSPENDED)
    refusal = meters.add_key(context.state, meter, replace(row, status=int(MeterStatus.SUSPENDED)), public_key, 0)
    if refusal is None:
        context.emit("registry", "meter_key_replaced", meter=meter, key=key_id(public_key))
    return refusal


@module.query()
def read_meter(look: Look, meter: MeterId) -> dict[str, Any] | None:
    """Return a meter's owner, profile, rated power, site, status and all its keys, or null."""
    row = meters.find(look.state, meter)
    if row is None:
        return None
    return {
        "owner": row.owner,
        "profile": row.profile,
        "rated_power_w": row.rated_power_w,
        "can_export": row.can_export,
        "site": row.site,
        "status": MeterStatus(row.status).name.lower(),
        "assigned_at_ms": row.assigned_at_ms,
        "keys": [
            {
                "public_key": key.public_key,
                "first_sequence": key.first_sequence,
                "last_sequence": key.last_sequence,
                "revoked_from": key.revoked_from,
            }
            for key in meters.list_keys(look.state, meter)
        ],
    }


def suspend_keyless(context: Context) -> None:
    """Suspend the meters whose only key is revoked from this block on, so that nothing waits for their reports."""
    for key, _ in list(islice(context.state.scan(DUE_REVOCATIONS), MAX_REVOCATIONS_PER_BLOCK)):
        if int.from_bytes(key[:_HEIGHT_BYTES], "big") > context.height:
            break
        context.state.delete(DUE_REVOCATIONS, key)
        found = meters.find_by_key(context.state, key[_HEIGHT_BYTES:])
        if found is not None and _is_keyless(context, found[1]):
            meters.set_status(context.state, found[0].meter, MeterStatus.SUSPENDED)


def _is_keyless(context: Context, row: Meter) -> bool:
    newest = context.state.get(meters.METER_KEYS, row.key_ids[-1])
    return newest is None or newest.is_revoked(context.height)


def _due_key(height: int, key: bytes) -> bytes:
    return height.to_bytes(_HEIGHT_BYTES, "big") + key


def _refuse_unknown(meter: bytes) -> Refusal:
    return Refusal(Code.UNKNOWN_METER, f"there is no meter {meter.hex()}")
