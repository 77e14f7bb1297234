"""Who may make which API key, and see or revoke whose: the rules that API and page share. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from gateway.access.keys import Scope
from gateway.access.roles import Access, Permission
from gateway.errors import ForbiddenError, UnknownError
from gateway.roster import Roster


def keys_of(access: Access) -> int | None:
    """Return the person whose keys *access* sees and revokes, None for everybody's; raises ForbiddenError."""
    if access.may(Permission.PEOPLE):
        return None
    if access.person is None or access.is_key:
        raise ForbiddenError("a key has no keys; log in at /login, or ask an admin")
    return access.person


def owner_of_new(access: Access) -> int | None:
    """Return the person to whom a key that *access* makes belongs: an admin's to nobody; raises ForbiddenError.

    A key makes no key: it would outlive its own end.
    """
    if access.is_key:
        raise ForbiddenError("a key makes no keys; log in at /login, or ask an admin")
    return keys_of(access)


def allow_scope(roster: Roster, access: Access, wanted: Scope) -> Scope:
    """Return the scope of the key that *access* may make of *wanted*; raises ForbiddenError or UnknownError.

    Only an admin gives another role than the own one, and an account; others' keys see what they see.
    """
    for meter_id in wanted.meters or ():
        meter = roster.meters.get(meter_id)
        if meter is None or not access.sees(meter):
            raise UnknownError(f"meter {meter_id.hex()} is not in the roster; GET /api/meters lists those that are")
    if access.may(Permission.PEOPLE):
        require_owner(roster, wanted.account)
        return wanted
    if wanted.role is not access.role or wanted.account not in {None, access.account}:
        raise ForbiddenError(f"{access.name} makes keys of the role {access.role} alone; leave role and account out")
    return replace(wanted, account=access.account)


def require_owner(roster: Roster, account: bytes | None) -> None:
    """Raise UnknownError where *account* is given and owns no meter."""
    if account is not None and all(meter.account != account for meter in roster):
        raise UnknownError(f"account {account.hex()} owns no meter in the roster; GET /api/meters lists the owners")


def owners(roster: Roster) -> dict[bytes, Collection[str]]:
    """Return the accounts that own meters, each with its meters' labels."""
    found: dict[bytes, list[str]] = {}
    for meter in roster:
        found.setdefault(meter.account, []).append(meter.label or meter.meter_id.hex())
    return {account: sorted(labels) for account, labels in found.items()}
