"""roster.json: which meters and users the gateway serves, with the public keys that the meters made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from ledger.keys import PUBLIC_KEY_BYTES
from provisioning import files
from provisioning.campus import Campus, CampusMeter
from provisioning.errors import DirectoryError, EnrolmentError
from provisioning.meters import EnrolledMeter

NAME: Final = "roster.json"
LOCK_NAME: Final = "roster.lock"


def write(campus: Campus, public_keys: Mapping[bytes, bytes]) -> None:
    """Write the roster of *campus*; *public_keys* maps each meter id to the Ed25519 key that this meter made."""
    missing = [meter.plan.label for meter in campus.meters if meter.meter_id not in public_keys]
    if missing:
        raise EnrolmentError(f"no public key for meter {missing[0]!r} ({len(missing)} missing): enrol it first")
    _write(campus, public_keys)


def add(campus: Campus, told: Iterable[EnrolledMeter]) -> list[CampusMeter]:
    """Enter what some meters told of themselves into the roster; return the meters that it still lacks.

    Raises EnrolmentError for a meter that the campus does not have, and for one that the roster knows with another key.
    """
    labels = {meter.meter_id: meter.plan.label for meter in campus.meters}
    path = campus.folder / NAME
    with files.lock(path.with_name(LOCK_NAME)):
        known = read_keys(campus) if path.exists() else {}
        for meter in told:
            if meter.meter_id not in labels:
                raise EnrolmentError(f"{campus.folder} has no meter {meter.meter_id.hex()}: it belongs to another one")
            if known.setdefault(meter.meter_id, meter.public_key) != meter.public_key:
                raise EnrolmentError(
                    f"{path} has another key of meter {labels[meter.meter_id]!r}: if the new one is right,"
                    " remove the meter's entry there, then run this again"
                )
        if len(set(known.values())) < len(known):
            raise EnrolmentError(
                "two meters told the same key: one is a copy of the other, enrol it with files of its own"
            )
        _write(campus, known)
    return [lacking for lacking in campus.meters if lacking.meter_id not in known]


def read_keys(campus: Campus) -> dict[bytes, bytes]:
    """Return the public keys that the roster of *campus* has, by meter id; raises DirectoryError."""
    path = campus.folder / NAME
    if not path.exists():
        raise DirectoryError(f"there is no {path} yet: `campusgrid provision meters` or `enrolled` writes it")
    try:
        entries = json.loads(files.read_text(path))["meters"]
        return {bytes.fromhex(entry["meter_id"]): bytes.fromhex(entry["public_key"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise DirectoryError(f"{path} is not a roster: {error!r}. `campusgrid provision meters` writes it.") from error


def _write(campus: Campus, public_keys: Mapping[bytes, bytes]) -> None:
    enrolled = [meter for meter in campus.meters if meter.meter_id in public_keys]
    content = {
        "meters": [_meter(meter, public_keys[meter.meter_id]) for meter in enrolled],
        "users": [
            {"account": user.account.hex(), "name": user.plan.name, "kind": user.plan.kind} for user in campus.users
        ],
    }
    files.write_public(campus.folder / NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


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
