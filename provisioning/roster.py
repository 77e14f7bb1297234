"""roster.json: which meters and users the gateway serves, with the public keys that the meters made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ledger.keys import PUBLIC_KEY_BYTES
from provisioning import files
from provisioning.campus import Campus, CampusMeter
from provisioning.errors import DirectoryError, EnrolmentError

NAME: Final = "roster.json"


def write(campus: Campus, public_keys: Mapping[bytes, bytes]) -> None:
    """Write the roster of *campus*; *public_keys* maps each meter id to the Ed25519 key that this meter made."""
    missing = [meter.plan.label for meter in campus.meters if meter.meter_id not in public_keys]
    if missing:
        raise EnrolmentError(f"no public key for meter {missing[0]!r} ({len(missing)} missing): enrol it first")
    content = {
        "meters": [_meter(meter, public_keys[meter.meter_id]) for meter in campus.meters],
        "users": [
            {"account": user.account.hex(), "name": user.plan.name, "kind": user.plan.kind} for user in campus.users
        ],
    }
    files.write_public(campus.folder / NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_keys(campus: Campus) -> dict[bytes, bytes]:
    """Return the public key of every meter, by meter id, from the roster of *campus*; raises DirectoryError."""
    path = campus.folder / NAME
    try:
        entries = json.loads(files.read_text(path))["meters"]
        return {bytes.fromhex(entry["meter_id"]): bytes.fromhex(entry["public_key"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise DirectoryError(f"{path} is not a roster: {error!r}. `campusgrid provision meters` writes it.") from error


def _meter(meter: CampusMeter, public_key: bytes) -> dict[str, object]:
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise EnrolmentError(f"meter {meter.plan.label!r}: a public key has {PUBLIC_KEY_BYTES} bytes")
    return {
        "meter_id": meter.meter_id.hex(),
        "public_key": public_key.hex(),
        "profile": meter.plan.profile,
        "rated_power_w": meter.plan.rated_power_w,
        "can_export": meter.plan.can_export,
        "account": meter.account.hex(),
        "label": meter.plan.label,
    }
