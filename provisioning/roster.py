"""roster.json: which meters and users the gateway serves, with the public keys that the meters made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.keys import PUBLIC_KEY_BYTES
from provisioning import files
from provisioning.campus import Campus, CampusMeter
from provisioning.errors import DirectoryError, EnrolmentError
from provisioning.meters import EnrolledMeter

NAME: Final = "roster.json"
LOCK_NAME: Final = "roster.lock"
MAX_FORMER_KEYS: Final = 16
MAX_FORMER_OWNERS: Final = 16
LAST_SEQUENCE: Final = 2**32 - 1


def write(campus: Campus, public_keys: Mapping[bytes, bytes]) -> None:
    """Write the roster of *campus*; *public_keys* maps each meter id to the Ed25519 key that this meter made."""
    missing = [meter.plan.label for meter in campus.meters if meter.meter_id not in public_keys]
    if missing:
        raise EnrolmentError(f"no public key for meter {missing[0]!r} ({len(missing)} missing): enrol it first")
    _write(campus, public_keys, _read_former_keys(campus))


@dataclass(frozen=True, slots=True)
class Succession:
    """That new keys follow known ones, which were good up to number `last`, by "rotation" or "replacement"."""

    ended_by: str
    last: int


def add(campus: Campus, told: Iterable[EnrolledMeter], succession: Succession | None = None) -> list[CampusMeter]:
    """Enter what some meters told of themselves into the roster; return the meters that it still lacks.

    Raises EnrolmentError for a meter that the campus does not have, and, unless there is a *succession*, for one that
    the roster knows with another key.
    """
    labels = {meter.meter_id: meter.plan.label for meter in campus.meters}
    path = campus.folder / NAME
    with files.lock(path.with_name(LOCK_NAME)):
        known = read_keys(campus) if path.exists() else {}
        former = _read_former_keys(campus)
        for meter in told:
            if meter.meter_id not in labels:
                raise EnrolmentError(f"{campus.folder} has no meter {meter.meter_id.hex()}: it belongs to another one")
            present = known.setdefault(meter.meter_id, meter.public_key)
            if present == meter.public_key:
                continue
            if succession is None:
                raise EnrolmentError(
                    f"{path} has another key of meter {labels[meter.meter_id]!r}: if the new one is right, enter"
                    " it by `campusgrid provision enrolled` with --rotated-at N or --replaced-at N, N the last number"
                    " that the old one was good for"
                )
            keys = former.setdefault(meter.meter_id, [])
            _require_after(labels[meter.meter_id], meter.public_key, keys, succession)
            keys.append({"public_key": present.hex(), "last": succession.last, "ended_by": succession.ended_by})
            known[meter.meter_id] = meter.public_key
        if len(set(known.values())) < len(known):
            raise EnrolmentError(
                "two meters told the same key: one is a copy of the other, enrol it with files of its own"
            )
        _write(campus, known, former)
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


def _require_after(label: str, key: bytes, former: list[dict[str, Any]], succession: Succession) -> None:
    if any(one["public_key"] == key.hex() for one in former):
        raise EnrolmentError(f"meter {label!r} had this key before: a key that was given up is never used again")
    if len(former) >= MAX_FORMER_KEYS or not (former[-1]["last"] if former else 0) < succession.last < LAST_SEQUENCE:
        raise EnrolmentError(
            f"meter {label!r} has {len(former)} former keys (at most {MAX_FORMER_KEYS}), good up to number"
            f" {former[-1]['last'] if former else 0}: the last number of the next one must be above it"
        )


def _read_former_keys(campus: Campus) -> dict[bytes, list[dict[str, Any]]]:
    """Return the keys that the meters of the roster gave up, the oldest first."""
    found = _read_entries(campus)
    return {meter_id: entry["former_keys"] for meter_id, entry in found.items() if entry.get("former_keys")}


def _read_entries(campus: Campus) -> dict[bytes, dict[str, Any]]:
    """Return what the roster says of each of its meters; nothing where there is none yet."""
    path = campus.folder / NAME
    entries = json.loads(files.read_text(path))["meters"] if path.exists() else []
    return {bytes.fromhex(entry["meter_id"]): entry for entry in entries}


def _list_former_owners(meter: CampusMeter, before: dict[str, Any], now: int) -> list[dict[str, Any]]:
    """Return to whom *meter* belonged until when, given its entry *before*: until *now* where it changes hands."""
    owners: list[dict[str, Any]] = list(before.get("former_owners") or ())
    if before.get("account", meter.account.hex()) == meter.account.hex():
        return owners
    if len(owners) >= MAX_FORMER_OWNERS:
        raise EnrolmentError(
            f"meter {meter.plan.label!r} has {len(owners)} former owners already: take the oldest out of {NAME}, who"
            " then sees no more of it"
        )
    until = max([now, *(owner["until"] + 1 for owner in owners)])  # a clock that went back keeps them in order
    return [*owners, {"account": before["account"], "until": until}]


def _write(campus: Campus, public_keys: Mapping[bytes, bytes], former: Mapping[bytes, list[dict[str, Any]]]) -> None:
    ids = {meter.plan.label: meter.meter_id.hex() for meter in campus.meters}
    enrolled = [meter for meter in campus.meters if meter.meter_id in public_keys]
    labels, before, now = {meter.plan.label for meter in enrolled}, _read_entries(campus), int(time.time())
    content = {
        "meters": [
            _meter(meter, public_keys[meter.meter_id])
            | _more(meter, labels, ids)
            | _list_past(former.get(meter.meter_id), _list_former_owners(meter, before.get(meter.meter_id, {}), now))
            for meter in enrolled
        ],
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


def _more(meter: CampusMeter, enrolled: set[str], ids: Mapping[str, str]) -> dict[str, object]:
    """Return what only some meters have: a PV site, a feeder that is enrolled too."""
    site, feeder = meter.plan.pv_site, meter.plan.feeder
    more: dict[str, object] = {} if site is None else {"pv_site": site.model_dump()}
    if feeder is not None and feeder in enrolled:
        more["feeder"] = ids[feeder]
    return more


def _list_past(keys: list[dict[str, Any]] | None, owners: list[dict[str, Any]]) -> dict[str, object]:
    """Return what only meters with a past have: keys that they gave up, owners that they had before."""
    return ({"former_keys": keys} if keys else {}) | ({"former_owners": owners} if owners else {})
