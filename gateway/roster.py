"""The gateway's view of the campus: which meters exist, with which keys. Written by provisioning.

A meter keeps its id for life, and may have had several keys: `former_keys` of its entry lists those that it gave up,
each with the last number that it was good for, and whether a `rotation` or a `replacement` of the device ended it.
`former_owners` lists the accounts that it belonged to before, each with the time until which it did: each owner sees
what the meter measured in their own time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from gateway.epochs.spans import END_OF_TIME, START_OF_TIME, Span, Spans
from gateway.errors import SettingsError
from gateway.settings import read_text
from ledger import keys

MAX_FORMER_KEYS: Final = 16
MAX_FORMER_OWNERS: Final = 16
"""Limits of what one meter's entry lists."""
EARLIEST_S: Final = 1_704_067_200
"""2024-01-01: a meter that states an earlier time has no clock, so nobody can tell whose such a reading is."""
LAST_SEQUENCE: Final = 2**32 - 1
_NEEDED_FIELDS: Final = frozenset({"meter_id", "public_key", "profile", "rated_power_w", "can_export", "account"})
_METER_FIELDS: Final = _NEEDED_FIELDS | {"label", "former_keys", "former_owners", "pv_site", "feeder"}


class Succession(StrEnum):
    """Why a key was followed by the next one of its meter."""

    ROTATION = "rotation"
    REPLACEMENT = "replacement"


@dataclass(frozen=True, slots=True)
class FormerKey:
    """An Ed25519 key (32 bytes) that was its meter's up to number `last`, and what ended it."""

    public_key: bytes
    last: int
    ended_by: Succession


@dataclass(frozen=True, slots=True)
class FormerOwner:
    """An account (8 bytes) that a meter belonged to before the time `until` (Unix seconds)."""

    account: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Site:
    """Where a photovoltaic plant stands, in degrees (north and east positive)."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Meter:
    """One enrolled meter: its id (8 bytes), present Ed25519 key (32 bytes), model, rating in W, owner and label.

    `pv_site` is set where it measures a photovoltaic plant and nothing else; `feeder` is the id of the meter through
    which all that it measures flows.
    """

    meter_id: bytes
    public_key: bytes
    profile: str
    rated_power_w: int
    can_export: bool
    account: bytes
    label: str
    former_keys: tuple[FormerKey, ...] = ()
    pv_site: Site | None = None
    feeder: bytes | None = None
    former_owners: tuple[FormerOwner, ...] = ()

    def spans_of(self, account: bytes | None) -> Spans:
        """Return the times in which it belonged to *account*: none, one, or several if it came back."""
        bounds = [EARLIEST_S if self.former_owners else START_OF_TIME, *(one.until for one in self.former_owners)]
        owners = [*(one.account for one in self.former_owners), self.account]
        return tuple(
            Span(*bound) for owner, bound in zip(owners, pairwise([*bounds, END_OF_TIME]), strict=True)
            if owner == account
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeterKey:
    """A key (32 bytes) of one meter and the numbers `first` to `last` that it may sign.

    `came_by` and `ended_by` say what happened at either end; None: nothing did.
    """

    meter_id: bytes
    public_key: bytes
    first: int = 1
    last: int = LAST_SEQUENCE
    came_by: Succession | None = None
    ended_by: Succession | None = None

    def crossed(self, sequence: int) -> Succession | None:
        """Return what keeps this key from signing number *sequence*, or None if it may."""
        if sequence < self.first:
            return self.came_by
        return self.ended_by if sequence > self.last else None


@dataclass(frozen=True, slots=True)
class Roster:
    """All enrolled meters by id, and all their keys by key id."""

    meters: Mapping[bytes, Meter]
    keys: Mapping[bytes, MeterKey]

    def __iter__(self) -> Iterator[Meter]:
        return iter(self.meters.values())

    def __len__(self) -> int:
        return len(self.meters)

    def find_key(self, key_id: bytes) -> tuple[bytes, bytes] | None:
        """Return the id of the meter whose key is named *key_id*, and the key, or None if no meter has it."""
        key = self.keys.get(key_id)
        return None if key is None else (key.meter_id, key.public_key)


def read_roster(path: Path) -> Roster:
    """Return the roster in the JSON file at *path*; raises SettingsError naming the meter at fault."""
    try:
        content = json.loads(read_text(path))
        entries = content["meters"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingsError(f"{path}: is not a roster (JSON with the key 'meters'): {error}") from error
    if not isinstance(entries, list):
        raise SettingsError(f"{path}: is not a roster: 'meters' is no list")
    try:
        return make_roster(_read_meter(entry) for entry in entries)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def make_roster(meters: Iterable[Meter]) -> Roster:
    """Return the roster of *meters*; raises SettingsError where two share an id or a key, or a feeder is unknown."""
    by_id: dict[bytes, Meter] = {}
    by_key: dict[bytes, MeterKey] = {}
    for meter in meters:
        owned = {keys.key_id(key.public_key): key for key in _list_keys(meter)}
        if meter.meter_id in by_id or owned.keys() & by_key.keys() or len(owned) <= len(meter.former_keys):
            raise SettingsError(f"it names meter {meter.meter_id.hex()} or its key twice; remove one")
        by_id[meter.meter_id] = meter
        by_key |= owned
    for meter in by_id.values():
        if meter.feeder is not None and (meter.feeder not in by_id or meter.feeder == meter.meter_id):
            raise SettingsError(f"meter {meter.meter_id.hex()}: its feeder is no other meter of the roster; correct it")
    return Roster(by_id, by_key)


def _list_keys(meter: Meter) -> Iterator[MeterKey]:
    """Yield all keys that *meter* ever had, the oldest first."""
    first, came_by = 1, None
    for key in meter.former_keys:
        yield MeterKey(meter.meter_id, key.public_key, first, key.last, came_by, key.ended_by)
        first, came_by = key.last + 1, key.ended_by
    yield MeterKey(meter.meter_id, meter.public_key, first, LAST_SEQUENCE, came_by, None)


def _read_meter(entry: Any) -> Meter:
    try:
        unknown = set(entry) - _METER_FIELDS
        if unknown:
            raise SettingsError(f"meter {entry.get('meter_id')}: unknown key {min(unknown)!r}; remove it")
        meter = Meter(
            bytes.fromhex(entry["meter_id"]), bytes.fromhex(entry["public_key"]), str(entry["profile"]),
            int(entry["rated_power_w"]), bool(entry["can_export"]), bytes.fromhex(entry["account"]),
            str(entry.get("label", "")), tuple(_read_key(former) for former in entry.get("former_keys") or ()),
            _read_site(entry.get("pv_site")), bytes.fromhex(entry["feeder"]) if entry.get("feeder") else None,
            tuple(_read_owner(former) for former in entry.get("former_owners") or ()),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"a meter entry is incomplete or malformed: {error!r} in {entry!r}") from error
    used = (meter.public_key, *(key.public_key for key in meter.former_keys))
    ids = (meter.meter_id, meter.account, *(owner.account for owner in meter.former_owners))
    if {len(one) for one in ids} != {8} or {len(key) for key in used} != {keys.PUBLIC_KEY_BYTES}:
        raise SettingsError(f"meter {entry['meter_id']}: an id or a key has the wrong length")
    bounds = [0, *(key.last for key in meter.former_keys), LAST_SEQUENCE]
    if len(bounds) > MAX_FORMER_KEYS + 2 or any(before >= after for before, after in pairwise(bounds)):
        raise SettingsError(
            f"meter {entry['meter_id']}: former_keys must be at most {MAX_FORMER_KEYS}, the oldest first, their"
            " last numbers ascending"
        )
    times = [EARLIEST_S, *(owner.until for owner in meter.former_owners), END_OF_TIME]
    if len(times) > MAX_FORMER_OWNERS + 2 or any(before >= after for before, after in pairwise(times)):
        raise SettingsError(
            f"meter {entry['meter_id']}: former_owners must be at most {MAX_FORMER_OWNERS}, the oldest first, their"
            " times ascending"
        )
    return meter


def _read_key(entry: Any) -> FormerKey:
    if set(entry) != {"public_key", "last", "ended_by"}:
        raise ValueError("a former key has public_key, last and ended_by")
    return FormerKey(bytes.fromhex(entry["public_key"]), int(entry["last"]), Succession(entry["ended_by"]))


def _read_owner(entry: Any) -> FormerOwner:
    if set(entry) != {"account", "until"}:
        raise ValueError("a former owner has account and until")
    return FormerOwner(bytes.fromhex(entry["account"]), int(entry["until"]))


def _read_site(entry: Any) -> Site | None:
    if entry is None:
        return None
    if set(entry) != {"latitude", "longitude"}:
        raise ValueError("a pv_site has latitude and longitude")
    site = Site(float(entry["latitude"]), float(entry["longitude"]))
    if not (abs(site.latitude) <= 90 and abs(site.longitude) <= 180):
        raise ValueError("a pv_site's degrees are out of range")
    return site
