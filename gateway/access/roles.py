"""Roles and permissions: the one table of who may do what, and whose meters they see. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.epochs.spans import ALWAYS, END_OF_TIME, Sight, Spans
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

    A tenant sees the meters of `account`, each for as long as it was theirs. `meters` narrows that further. `person`
    and `session` are rows of the store, None for a key that belongs to nobody and for whoever is at this machine.
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

    def spans(self, meter: Meter) -> Spans:
        """Return from which times they see what *meter* measured: the one place that decides it."""
        if self.meters is not None and meter.meter_id not in self.meters:
            return ()
        return meter.spans_of(self.account) if self.role is Role.TENANT else ALWAYS

    def sees(self, meter: Meter) -> bool:
        """Tell whether *meter* is now among those that they see."""
        return any(span.end_s == END_OF_TIME for span in self.spans(meter))

    def visible(self, roster: Roster) -> Sight | None:
        """Return what they see of which meters, of those that were theirs before too; None for all, enrolled or not."""
        if not self.is_narrow:
            return None
        return {meter.meter_id: spans for meter in roster if (spans := self.spans(meter))}


AT_THIS_MACHINE: Final = Access("local", Role.OPERATOR, is_read_only=True)
"""Everybody, where `api.login` is "none"."""
