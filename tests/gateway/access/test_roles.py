"""The table of permissions, written a second time, so that no change of it goes unseen."""

from __future__ import annotations

import pytest

from gateway.access.roles import PERMISSIONS, Access, Permission, Role
from gateway.roster import Meter, make_roster

#           facility operator admin tenant auditor metrics
TABLE = """
STATUS        x        x      x     x      x      -
METERS        x        x      x     x      x      -
READINGS      x        x      x     x      x      -
INTERVALS     -        x      x     x      x      -
QUARANTINE    x        x      x     -      x      -
EVIDENCE      -        x      x     -      x      -
FAULTS        x        x      x     -      x      -
ALARMS        x        x      x     -      x      -
ACKNOWLEDGE   -        x      x     -      -      -
METRICS       -        x      x     -      x      x
KEYS          -        x      x     x      x      -
PEOPLE        -        -      x     -      -      -
AUDIT         -        -      x     -      x      -
"""
ROWS = {words[0]: words[1:] for line in TABLE.split("\n") if (words := line.split())}


def expected(role: Role, permission: Permission) -> bool:
    """Return what the table says."""
    return ROWS[permission.name][list(Role).index(role)] == "x"


@pytest.mark.parametrize("role", Role)
def test_a_role_has_the_permissions_of_the_table_and_no_other(role: Role) -> None:
    assert set(ROWS) == {permission.name for permission in Permission}
    access = Access("anna", role, bytes(8) if role is Role.TENANT else None)
    assert {one for one in Permission if access.may(one)} == {one for one in Permission if expected(role, one)}
    assert set(PERMISSIONS) == set(Role)


def test_whoever_sees_some_meters_only_has_no_permission_that_tells_of_others() -> None:
    narrowed = Access("key", Role.ADMIN, meters=frozenset({bytes(8)}))
    telling = {Permission.QUARANTINE, Permission.EVIDENCE, Permission.ALARMS, Permission.METRICS, Permission.PEOPLE}
    telling |= {Permission.FAULTS, Permission.ACKNOWLEDGE}
    assert not telling & narrowed.permissions
    assert Permission.AUDIT not in narrowed.permissions


def test_a_tenant_sees_the_meters_of_the_own_account_and_a_key_may_narrow_them_further() -> None:
    meters = [Meter(bytes([n]) * 8, bytes([n]) * 32, "p", 1, False, bytes([n // 2]) * 8, "") for n in (2, 3, 4)]
    roster = make_roster(iter(meters))
    tenant = Access("tom", Role.TENANT, bytes([1]) * 8)
    assert tenant.visible(roster) == [bytes([2]) * 8, bytes([3]) * 8]
    narrowed = Access("key", Role.TENANT, bytes([1]) * 8, frozenset({bytes([3]) * 8, bytes([4]) * 8}))
    assert narrowed.visible(roster) == [bytes([3]) * 8]
    assert Access("key", Role.OPERATOR, meters=frozenset({bytes([4]) * 8})).visible(roster) == [bytes([4]) * 8]
    assert Access("olga", Role.OPERATOR).visible(roster) is None
    assert Access("tom", Role.TENANT, None).visible(roster) == []
