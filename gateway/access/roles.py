"""Roles and permissions: the one table of who may do what, and whose meters they see. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.roster import Meter, Roster


class Permission(StrEnum):
    """Something that a role may do."""

    STATUS = "see how the gateway is doing"
    METERS = "see meters with their newest reading"
    READINGS = "see readings"
    INTERVALS = "see intervals"
    QUARANTINE = "see refused messages"
    EVIDENCE = "see readings that contradict stored ones"
    FAULTS = "see what is wrong with the gateway"
    ALARMS = "see alarms"
    ACKNOWLEDGE = "acknowledge alarms"
    METRICS = "see metrics and health"
    KEYS = "make API keys of the own role"
    PEOPLE = "manage people and everybody's API keys"
    AUDIT = "see the audit log"


class Role(StrEnum):
    """What a person or a key is here for."""

    FACILITY = "facility"
    OPERATOR = "operator"
    ADMIN = "admin"
    TENANT = "tenant"
    AUDITOR = "auditor"
    METRICS = "metrics"
    """A machine that watches this one: for keys alone."""


PERSONAL_ROLES: Final = tuple(role for role in Role if role is not Role.METRICS)

_P = Permission
PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.FACILITY: frozenset({_P.STATUS, _P.METERS, _P.READINGS, _P.QUARANTINE, _P.FAULTS, _P.ALARMS}),
    Role.OPERATOR: frozenset(_P) - {_P.PEOPLE, _P.AUDIT},
    Role.ADMIN: frozenset(_P),
    Role.TENANT: frozenset({_P.STATUS, _P.METERS, _P.READINGS, _P.INTERVALS, _P.KEYS}),
    Role.AUDITOR: frozenset(_P) - {_P.PEOPLE, _P.ACKNOWLEDGE},
    Role.METRICS: frozenset({_P.METRICS}),
}
NARROW: Final = PERMISSIONS[Role.TENANT]
"""What can be done with some meters alone; all else would tell of others."""


@dataclass(frozen=True, slots=True)
class Access:
    """One who has proven who they are: a person with a session, a program with a key, or whoever is at this machine.

    A tenant sees the meters of `account`. `meters` narrows that further. `person` and `session` are rows of the store,
    None for a key that belongs to nobody and for whoever is at this machine.
    """

    name: str
    role: Role
    account: bytes | None = None
    meters: frozenset[bytes] | None = None
    is_read_only: bool = False
    person: int | None = None
    session: str | None = None
    is_key: bool = False

    @property
    def is_narrow(self) -> bool:
        """Tell whether they see some meters only."""
        return self.role is Role.TENANT or self.meters is not None

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that they may do."""
        return PERMISSIONS[self.role] & NARROW if self.is_narrow else PERMISSIONS[self.role]

    def may(self, permission: Permission) -> bool:
        """Tell whether they have *permission*."""
        return permission in self.permissions

    def sees(self, meter: Meter) -> bool:
        """Tell whether *meter* is among those that they see."""
        is_own = self.role is not Role.TENANT or meter.account == self.account
        return is_own and (self.meters is None or meter.meter_id in self.meters)

    def visible(self, roster: Roster) -> list[bytes] | None:
        """Return the ids of the meters that they see in ascending order, or None for all, enrolled or not."""
        if not self.is_narrow:
            return None
        return sorted(meter.meter_id for meter in roster if self.sees(meter))


AT_THIS_MACHINE: Final = Access("local", Role.OPERATOR, is_read_only=True)
"""Everybody, where `api.login` is "none"."""
