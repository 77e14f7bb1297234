"""The table of permissions, written a second time, so that no change of it goes unseen."""

from __future__ import annotations

import pytest

from gateway.access.roles import PERMISSIONS, Access, Permission, Role
from gateway.epochs.spans import ALWAYS, END_OF_TIME, Span
from gateway.roster import EARLIEST_S, FormerOwner, Meter, make_roster

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
    assert tenant.visible(roster) == {bytes([2]) * 8: ALWAYS, bytes([3]) * 8: ALWAYS}
    narrowed = Access("key", Role.TENANT, bytes([1]) * 8, frozenset({bytes([3]) * 8, bytes([4]) * 8}))
    assert narrowed.visible(roster) == {bytes([3]) * 8: ALWAYS}
    one = frozenset({bytes([4]) * 8})
    assert Access("key", Role.OPERATOR, meters=one).visible(roster) == {bytes([4]) * 8: ALWAYS}
    assert Access("olga", Role.OPERATOR).visible(roster) is None
    assert Access("tom", Role.TENANT, None).visible(roster) == {}


def test_each_owner_sees_the_time_in_which_the_meter_was_theirs_and_no_clock_is_nobodys() -> None:
    first, second, third = (bytes([n]) * 8 for n in range(1, 4))
    changes = tuple(FormerOwner(account, until) for account, until in ((first, 1_800_000_000), (second, 1_900_000_000)))
    came_back = Meter(bytes(8), bytes(32), "p", 1, False, first, "", former_owners=changes)
    tenants = [Access("t", Role.TENANT, account) for account in (first, second, third)]
    assert [tenant.spans(came_back) for tenant in tenants] == [
        (Span(EARLIEST_S, 1_800_000_000), Span(1_900_000_000, END_OF_TIME)),
        (Span(1_800_000_000, 1_900_000_000),),
        (),
    ]
    assert [tenant.sees(came_back) for tenant in tenants] == [True, False, False]
    assert Access("olga", Role.OPERATOR).spans(came_back) == ALWAYS
    assert Access("key", Role.TENANT, first, frozenset({second})).spans(came_back) == ()
