"""The gateway's view of the campus: which meters exist, with which keys. Written by provisioning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import SettingsError
from gateway.settings import read_text
from ledger import keys

_METER_FIELDS = frozenset({"meter_id", "public_key", "profile", "rated_power_w", "can_export", "account", "label"})


@dataclass(frozen=True, slots=True)
class Meter:
    """One enrolled meter: its id (8 bytes), Ed25519 key (32 bytes), model, rating in W, owner and label."""

    meter_id: bytes
    public_key: bytes
    profile: str
    rated_power_w: int
    can_export: bool
    account: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Roster:
    """All enrolled meters by id, and who holds which key id."""

    meters: Mapping[bytes, Meter]
    owner_of_key: Mapping[bytes, bytes]

    def __iter__(self) -> Iterator[Meter]:
        return iter(self.meters.values())

    def __len__(self) -> int:
        return len(self.meters)

    def find_key(self, key_id: bytes) -> tuple[bytes, bytes] | None:
        """Return the id of the meter whose key is named *key_id*, and the key, or None if no meter has it."""
        meter_id = self.owner_of_key.get(key_id)
        return None if meter_id is None else (meter_id, self.meters[meter_id].public_key)


def read_roster(path: Path) -> Roster:
    """Return the roster in the JSON file at *path*; raises SettingsError naming the meter at fault."""
    try:
        content = json.loads(read_text(path))
        entries = content["meters"]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: is not a roster (JSON with the key 'meters'): {error}") from error
    return make_roster(_read_meter(path, entry) for entry in entries)


def make_roster(meters: Iterator[Meter]) -> Roster:
    """Return the roster of *meters*; raises SettingsError where two share an id or a key."""
    by_id: dict[bytes, Meter] = {}
    by_key: dict[bytes, bytes] = {}
    for meter in meters:
        key_id = keys.key_id(meter.public_key)
        if meter.meter_id in by_id or key_id in by_key:
            raise SettingsError(f"the roster names meter {meter.meter_id.hex()} or its key twice; remove one")
        by_id[meter.meter_id] = meter
        by_key[key_id] = meter.meter_id
    return Roster(by_id, by_key)


def _read_meter(path: Path, entry: Any) -> Meter:
    try:
        unknown = set(entry) - _METER_FIELDS
        if unknown:
            raise SettingsError(f"{path}: meter {entry.get('meter_id')}: unknown key {min(unknown)!r}; remove it")
        meter = Meter(
            bytes.fromhex(entry["meter_id"]), bytes.fromhex(entry["public_key"]), str(entry["profile"]),
            int(entry["rated_power_w"]), bool(entry["can_export"]), bytes.fromhex(entry["account"]),
            str(entry.get("label", "")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{path}: a meter entry is incomplete or malformed: {error!r} in {entry!r}") from error
    if len(meter.meter_id) != 8 or len(meter.public_key) != keys.PUBLIC_KEY_BYTES or len(meter.account) != 8:
        raise SettingsError(f"{path}: meter {entry['meter_id']}: an id or a key has the wrong length")
    return meter
