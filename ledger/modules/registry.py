"""Who takes part: users, whom an admin verifies, their meters, and the gateways that report for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import accounts, meters
from ledger.modules.meters import Mark, Meter, MeterStatus
from ledger.modules.module import (
    AccountId,
    Boolean,
    Context,
    Label,
    MeterId,
    Module,
    PublicKey,
    RatedPower,
    ReadingEnvelope,
)  # fmt: skip
from ledger.modules.readings import check_boundary
from ledger.state import Overlay, Reader, Table

MAX_METERS_PER_USER: Final = 10
USER_TYPES: Final = ("prosumer", "consumer", "utility")
GENESIS_LOCATION: Final = "campus"


class UserStatus(IntEnum):
    """How far a user has come."""

    REGISTERED = 0
    VERIFIED = 1


@dataclass(frozen=True, slots=True)
class User:
    """A user of the market. `location` is a label of the site, never a name or an address."""

    user_type: str
    location: str
    status: int
    registered_at_ms: int
    meters: int


@dataclass(frozen=True, slots=True)
class UserTotals:
    """How many users are verified."""

    verified: int


USERS: Final = Table("registry.users", User)
TOTALS: Final = Table("registry.totals", UserTotals)
TOTALS_KEY: Final = b"users"

module = Module(
    "registry",
    tables=(
        accounts.ACCOUNTS, accounts.KEYS, USERS, TOTALS, meters.METERS, meters.METER_KEYS, meters.MARKS,
        meters.MARK_COUNTS, meters.BOUNDARIES,
    ),
)  # fmt: skip


@module.call(Role.ADMIN)
def register_user(
    context: Context, account: AccountId, public_key: PublicKey, user_type: Label, location: Label
) -> Refusal | None:
    """Make an account for a user, not yet verified. *user_type* is prosumer, consumer or utility."""
    if user_type not in USER_TYPES:
        return Refusal(Code.UNKNOWN_USER_TYPE, f"{user_type!r} is none of {', '.join(USER_TYPES)}")
    refusal = accounts.open_account(context.state, account, public_key, Role(0))
    if refusal is not None:
        return refusal
    context.state.put(USERS, account, User(user_type, location, int(UserStatus.REGISTERED), context.time_ms, 0))
    context.emit("registry", "user_registered", account=account, user_type=user_type)
    return None


@module.call(Role.ADMIN)
def verify_user(context: Context, account: AccountId) -> Refusal | None:
    """Let a registered user trade; repeating it changes nothing."""
    user = context.state.get(USERS, account)
    if user is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no user {account.hex()}")
    if user.status != UserStatus.VERIFIED:
        accounts.grant(context.state, account, Role.USER)
        context.state.put(USERS, account, replace(user, status=int(UserStatus.VERIFIED)))
        _count_verified(context.state)
    context.emit("registry", "user_verified", account=account)
    return None


@module.call(Role.ADMIN)
def register_gateway(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Make an account that may report intervals of every meter."""
    refusal = accounts.open_account(context.state, account, public_key, Role.GATEWAY)
    if refusal is None:
        context.emit("registry", "gateway_registered", account=account)
    return refusal


@module.call(Role.ADMIN)
def assign_meter(
    context: Context,
    meter: MeterId,
    owner: AccountId,
    profile: Label,
    rated_power_w: RatedPower,
    public_key: PublicKey,
    can_export: Boolean,
) -> Refusal | None:
    """Give a user a meter, with the key that signs its readings. It trades once `rebase` gave it a baseline."""
    user = context.state.get(USERS, owner)
    if user is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no user {owner.hex()}")
    if user.meters >= MAX_METERS_PER_USER:
        return Refusal(Code.TOO_MANY_METERS, f"user {owner.hex()} has {MAX_METERS_PER_USER} meters already")
    row = Meter(owner, profile, rated_power_w, public_key, can_export, int(MeterStatus.ACTIVE), context.time_ms)
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
    mark = Mark(checked.epoch, checked.time_s, imported, exported, imported, exported, checked.hash)
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
        return Refusal(Code.UNKNOWN_METER, f"there is no meter {meter.hex()}")
    if row.status != MeterStatus.SUSPENDED:
        return Refusal(Code.METER_NOT_SUSPENDED, f"meter {meter.hex()} is not suspended")
    meters.set_status(context.state, meter, MeterStatus.ACTIVE)
    context.emit("registry", "meter_reinstated", meter=meter)
    return None


def owns_meters(view: Reader, account: bytes) -> bool:
    """Tell whether *account* is a user to whom a meter is assigned."""
    user = view.get(USERS, account)
    return user is not None and user.meters > 0


def count_verified_users(view: Reader) -> int:
    """Return how many users may trade."""
    totals = view.get(TOTALS, TOTALS_KEY)
    return totals.verified if totals else 0


def _count_verified(state: Overlay) -> None:
    state.put(TOTALS, TOTALS_KEY, UserTotals(count_verified_users(state) + 1))


def _genesis(context: Context) -> None:
    for account in sorted(context.genesis.accounts, key=lambda account: account.id):
        accounts.open_account(context.state, account.id, account.public_key, account.roles)
        if Role.USER in account.roles:
            user = User(USER_TYPES[0], GENESIS_LOCATION, int(UserStatus.VERIFIED), context.time_ms, 0)
            context.state.put(USERS, account.id, user)
            _count_verified(context.state)


module.genesis = _genesis
