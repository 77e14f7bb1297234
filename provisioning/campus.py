"""A campus as it is laid out in its directory: the plan, with the random ids that accounts and meters were given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ledger import genesis
from ledger.genesis import Genesis
from provisioning import files
from provisioning.errors import DirectoryError
from provisioning.plan import CampusPlan, PlannedMeter, PlannedUser, first_fault

AAIP_PER_AIP: Final = 10**18
INDEX_NAME: Final = "campus.json"
"""The plan and who got which id; names stay in this file, off the ledger."""
LOGIN_NAME: Final = "campus.password"
"""What whoever sends updates and configurations proves himself with at the broker."""


@dataclass(frozen=True, slots=True)
class CampusUser:
    """A user with the account id they were given; the key is in `users/<account>.key`."""

    account: bytes
    plan: PlannedUser


@dataclass(frozen=True, slots=True)
class CampusMeter:
    """A meter with the id it was given and its owner's account."""

    meter_id: bytes
    account: bytes
    plan: PlannedMeter

    def config(self, folder: Path) -> Path:
        """Return the path of this meter's config.json in the campus directory *folder*."""
        return folder / "meters" / self.meter_id.hex() / "config.json"


@dataclass(frozen=True, slots=True)
class Campus:
    """What was laid out in `folder`."""

    folder: Path
    plan: CampusPlan
    genesis: Genesis
    gateway_account: bytes
    users: tuple[CampusUser, ...]
    meters: tuple[CampusMeter, ...]

    def find_meters(self, names: Sequence[str]) -> list[CampusMeter]:
        """Return the meters with these ids or labels, all of them for no name; raises DirectoryError."""
        known = {meter.meter_id.hex(): meter for meter in self.meters}
        known |= {meter.plan.label: meter for meter in self.meters}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise DirectoryError(f"{self.folder} has no meter {unknown[0]!r}: name an id or a label of {INDEX_NAME}")
        return list(dict.fromkeys(known[name] for name in names)) or list(self.meters)

    def give(self, meter: CampusMeter, owner: str) -> Campus:
        """Return this campus with *meter* in the hands of the user named *owner*; raises DirectoryError."""
        content = self.plan.model_dump()
        for planned in content["meters"]:
            if planned["label"] == meter.plan.label:
                planned["owner"] = owner
        try:
            plan = CampusPlan.model_validate(content)
        except ValidationError as error:
            raise DirectoryError(
                f"{meter.plan.label!r} stays with {meter.plan.owner!r}: {first_fault(error)}"
            ) from error
        accounts = {user.plan.name: user.account for user in self.users}
        meters = (CampusMeter(one.meter_id, accounts[planned.owner], planned) for one, planned in zip(
            self.meters, plan.meters, strict=True
        ))  # fmt: skip
        return replace(self, plan=plan, meters=tuple(meters))

    def write(self) -> None:
        """Write the index from which `load` finds everything again."""
        content = {
            "plan": self.plan.model_dump(mode="json"),
            "gateway": self.gateway_account.hex(),
            "users": {user.plan.name: user.account.hex() for user in self.users},
            "meters": {meter.plan.label: meter.meter_id.hex() for meter in self.meters},
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        files.write_secret(self.folder / INDEX_NAME, text)


def load(folder: Path) -> Campus:
    """Return the campus in the directory *folder*; raises DirectoryError where it is none."""
    try:
        content: dict[str, Any] = json.loads(files.read_text(folder / INDEX_NAME))
        plan = CampusPlan.model_validate(content["plan"])
        accounts = {name: bytes.fromhex(account) for name, account in content["users"].items()}
        ids = {label: bytes.fromhex(meter_id) for label, meter_id in content["meters"].items()}
        users = tuple(CampusUser(accounts[user.name], user) for user in plan.users)
        meters = tuple(CampusMeter(ids[meter.label], accounts[meter.owner], meter) for meter in plan.meters)
        gateway = bytes.fromhex(content["gateway"])
    except ValidationError as error:
        raise DirectoryError(f"{folder / INDEX_NAME}: {first_fault(error)}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DirectoryError(f"{folder / INDEX_NAME} does not describe a campus: {error}") from error
    return Campus(folder, plan, genesis.load(folder / "genesis.json"), gateway, users, meters)
