"""Links, passwords, sessions and keys: each holds for as long and for as much as it should, and no longer."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from gateway.access import failures, passwords, sessions, tokens
from gateway.access import keys as keys_module
from gateway.access.audit import Actor
from gateway.access.doorkeeper import Doorkeeper
from gateway.access.keys import DAY_S, Scope
from gateway.access.people import FIRST_LINK_LIFETIME_S, LINK_LIFETIME_S
from gateway.access.roles import Role
from gateway.errors import AccessError, BusyError
from gateway.store.database import Database
from tests.gateway.access.conftest import Clock

PASSWORD = "correct horse battery"
ADMIN = Actor("person admin", "10.0.0.1")


@pytest.fixture
async def door(database: Database, clock: Clock) -> Doorkeeper:
    return await Doorkeeper.over(database, clock)


async def enrolled(door: Doorkeeper, name: str, role: Role = Role.OPERATOR, account: bytes | None = None) -> str:
    """Add a person, have them choose their password, and return their first session."""
    invitation = await door.people.read_link(await door.people.add(name, role, account, ADMIN))
    assert invitation is not None
    return await door.enrol(invitation, "", PASSWORD, "10.0.0.2")


async def test_a_link_lets_its_person_choose_a_password_once(door: Doorkeeper) -> None:
    link = await door.people.add("Anna", Role.OPERATOR, None, ADMIN)
    assert await door.log_in("anna", "", "x") is None
    for _ in range(2):  # who looks does not use it up
        invitation = await door.people.read_link(link)
        assert invitation is not None
        assert invitation.person is not None
        assert invitation.person.name == "anna"
    assert invitation is not None
    session = await door.enrol(invitation, "ignored", PASSWORD, "10.0.0.2")
    access = await door.sessions.find(session)
    assert access is not None
    assert (access.name, access.role, access.is_key) == ("anna", Role.OPERATOR, False)
    assert await door.people.read_link(link) is None
    with pytest.raises(AccessError, match="this link was used already"):
        await door.enrol(invitation, "", PASSWORD, "10.0.0.3")
    assert await door.log_in("ANNA", PASSWORD, "x") is not None


async def test_two_at_one_moment_cannot_both_use_a_link(door: Doorkeeper) -> None:
    invitation = await door.people.read_link(await door.people.make_first_link(ADMIN))
    assert invitation is not None
    done = await asyncio.gather(
        *(door.enrol(invitation, name, PASSWORD, "x") for name in ("anna", "eve")), return_exceptions=True
    )
    assert {type(one) for one in done} == {AccessError, str}
    assert len(await door.people.all()) == 1


async def test_links_end_with_time_a_newer_link_and_their_person(door: Doorkeeper, clock: Clock) -> None:
    first = await door.people.add("anna", Role.OPERATOR, None, ADMIN)
    second = await door.people.renew_link("anna", ADMIN)
    assert await door.people.read_link(first) is None
    assert await door.people.read_link(second) is not None
    clock.now_s += LINK_LIFETIME_S
    assert await door.people.read_link(second) is None
    third = await door.people.renew_link("anna", ADMIN)
    await door.people.disable("anna", ADMIN)
    assert await door.people.read_link(third) is None
    with pytest.raises(AccessError, match="anna is disabled"):
        await door.people.renew_link("anna", ADMIN)


async def test_the_first_admins_link_is_bounded_replaced_and_worth_nothing_with_an_admin(
    door: Doorkeeper, clock: Clock
) -> None:
    old, new = await door.people.make_first_link(ADMIN), await door.people.make_first_link(ADMIN)
    assert await door.people.read_link(old) is None
    invitation = await door.people.read_link(new)
    assert invitation is not None
    assert invitation.person is None
    clock.now_s += FIRST_LINK_LIFETIME_S
    assert await door.people.read_link(new) is None
    with pytest.raises(AccessError, match="too old"):
        await door.enrol(invitation, "eve", PASSWORD, "x")
    newest = await door.people.make_first_link(ADMIN)
    await enrolled(door, "anna", Role.ADMIN)
    assert await door.people.read_link(newest) is None


async def test_a_new_password_ends_the_sessions_of_the_old_one(door: Doorkeeper) -> None:
    session = await enrolled(door, "anna")
    invitation = await door.people.read_link(await door.people.renew_link("anna", ADMIN))
    assert await door.sessions.find(session) is not None
    assert invitation is not None
    await door.enrol(invitation, "", "another long password", "x")
    assert await door.sessions.find(session) is None
    assert await door.log_in("anna", PASSWORD, "x") is None


async def test_who_is_disabled_is_out_at_once_with_sessions_and_keys(door: Doorkeeper) -> None:
    session = await enrolled(door, "anna")
    access = await door.sessions.find(session)
    assert access is not None
    key = await door.keys.add(Scope("mine", Role.OPERATOR), access.person, ADMIN)
    assert await door.keys.find(key) is not None
    await door.people.disable("anna", ADMIN)
    assert await door.sessions.find(session) is None
    assert await door.keys.find(key) is None
    assert await door.log_in("anna", PASSWORD, "x") is None
    await door.people.enable("anna", ADMIN)
    assert await door.sessions.find(session) is None
    assert await door.log_in("anna", PASSWORD, "x") is not None


async def opened(door: Doorkeeper, name: str) -> str:
    token = await door.sessions.open(await door.people.get(name), "x")
    assert token is not None
    return token


async def test_sessions_end_after_their_time_and_one_person_has_a_bounded_number(
    door: Doorkeeper, clock: Clock
) -> None:
    oldest = await enrolled(door, "anna")
    for _ in range(sessions.MAX_OF_ONE):
        clock.now_s += 1
        newest = await opened(door, "anna")
    assert await door.sessions.find(oldest) is None
    for _ in range(sessions.LIFETIME_S // sessions.IDLE_S * 2):
        access = await door.sessions.find(newest)
        assert access is not None  # in use, it lasts for its whole time
        await door.sessions.use(access)
        clock.now_s += sessions.IDLE_S // 2
    assert await door.sessions.find(newest) is None


async def test_a_session_that_nobody_uses_ends_and_no_restart_brings_it_back(
    door: Doorkeeper, database: Database, clock: Clock
) -> None:
    left, used = await enrolled(door, "anna"), await enrolled(door, "otto")
    clock.now_s += sessions.IDLE_S - 1
    access = await door.sessions.find(used)
    assert access is not None
    assert await door.sessions.find(left) is not None  # who only looks does not use it
    await door.sessions.use(access)
    clock.now_s += 1
    after = await Doorkeeper.over(database, clock)
    for one in (door, after):
        assert await one.sessions.find(left) is None
        assert await one.sessions.find(used) is not None


async def test_a_database_that_refuses_ends_no_session_in_use(
    door: Doorkeeper, database: Database, clock: Clock
) -> None:
    session = await enrolled(door, "anna")
    async with database.transaction() as connection:
        await connection.execute("PRAGMA query_only = ON")
    for _ in range(3):
        clock.now_s += sessions.IDLE_S - 1
        access = await door.sessions.find(session)
        assert access is not None
        await door.sessions.use(access)
    assert await door.log_in("anna", "wrong horse battery", "10.0.0.9") is None  # no row, and no crash


async def test_who_was_shut_out_or_got_another_password_while_theirs_was_checked_gets_no_session(
    door: Doorkeeper,
) -> None:
    await enrolled(door, "anna")
    found = await door.people.get("anna")
    invitation = await door.people.read_link(await door.people.renew_link("anna", ADMIN))
    assert invitation is not None
    await door.enrol(invitation, "", "another long password", "x")
    assert await door.sessions.open(found, "x") is None
    found = await door.people.get("anna")
    await door.people.disable("anna", ADMIN)
    assert await door.sessions.open(found, "x") is None


async def test_another_role_ends_the_sessions_and_own_keys_of_the_old_one(door: Doorkeeper) -> None:
    session = await enrolled(door, "anna", Role.OPERATOR)
    access = await door.sessions.find(session)
    assert access is not None
    key = await door.keys.add(Scope("mine", Role.OPERATOR), access.person, ADMIN)
    other = await door.keys.add(Scope("nobody's", Role.OPERATOR), None, ADMIN)
    with pytest.raises(AccessError, match="a tenant needs the account"):
        await door.people.change_role("anna", Role.TENANT, None, ADMIN)
    assert await door.sessions.find(session) is not None
    await door.people.change_role("Anna", Role.TENANT, bytes(8), ADMIN)
    assert await door.sessions.find(session) is None
    assert await door.keys.find(key) is None
    assert await door.keys.find(other) is not None
    now = await door.sessions.find(await door.log_in("anna", PASSWORD, "x") or "")
    assert now is not None
    assert (now.role, now.account) == (Role.TENANT, bytes(8))
    (row,) = [row for row in await door.audit.page(None, 10) if row.action == "change role"]
    assert (row.subject, '"before": "operator"' in row.detail, '"role": "tenant"' in row.detail) == ("anna", True, True)


async def test_failed_log_ins_are_in_the_audit_log_without_what_was_typed_and_never_too_many(
    door: Doorkeeper, clock: Clock
) -> None:
    await enrolled(door, "anna")
    for name in ("anna", "my secret passphrase"):
        assert await door.log_in(name, "wrong horse battery", "10.0.0.7") is None
    rows = [row for row in await door.audit.page(None, 10) if row.action == "fail to log in"]
    assert [(row.who, row.origin, row.subject) for row in rows] == [
        ("somebody", "10.0.0.7", "nobody of that name"), ("somebody", "10.0.0.7", "anna"),
    ]  # fmt: skip
    for _ in range(50):
        await door.failures.note("anna", "10.0.0.7")
    for number in range(300):
        await door.failures.note(None, f"10.0.{number}.1")
    rows = [row for row in await door.audit.page(None, 1000) if row.action == "fail to log in"]
    assert len(rows) == failures.ALL_ROWS_AT_ONCE
    assert sum(row.origin == "10.0.0.7" for row in rows) == failures.ROWS_AT_ONCE
    clock.now_s += 1 / failures.ALL_ROWS_PER_S
    await door.failures.note(None, "10.1.0.1")
    told = [json.loads(row.detail)["untold"] for row in await door.audit.page(None, 1000) if "untold" in row.detail]
    assert sum(told) + len(told) == door.failures.count == 353
    assert (await door.audit.verify())[1] == []


async def test_keys_end_with_time_and_revocation_and_are_listed_without_their_secret(
    door: Doorkeeper, clock: Clock
) -> None:
    meters = frozenset({bytes(8)})
    one = await door.keys.add(Scope("billing", Role.TENANT, bytes(8), meters, True, 2), None, ADMIN)
    other = await door.keys.add(Scope("prometheus", Role.METRICS), None, ADMIN)
    access = await door.keys.find(one)
    assert access is not None
    assert (access.role, access.account, access.meters, access.is_read_only) == (Role.TENANT, bytes(8), meters, True)
    listed = await door.keys.all()
    assert {key.scope.name for key in listed} == {"billing", "prometheus"}
    assert one.rsplit("_", 1)[1] not in repr(listed)
    await door.keys.revoke(other.split("_")[1], ADMIN)
    assert await door.keys.find(other) is None
    clock.now_s += 2 * DAY_S
    assert await door.keys.find(one) is None


async def test_a_person_has_a_bounded_number_of_keys(door: Doorkeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_OF_ONE", 2)
    await enrolled(door, "anna")
    person = (await door.people.get("anna")).id
    for _ in range(2):
        await door.keys.add(Scope("mine", Role.OPERATOR), person, ADMIN)
    with pytest.raises(AccessError, match="revoke one"):
        await door.keys.add(Scope("mine", Role.OPERATOR), person, ADMIN)
    with pytest.raises(AccessError, match="there is no key"):
        await door.keys.revoke((await door.keys.all())[0].id, ADMIN, person=person + 1)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope("", Role.OPERATOR), "needs a name"),
        (Scope("x" * 65, Role.OPERATOR), "needs a name"),
        (Scope("two\nlines", Role.OPERATOR), "needs a name"),
        (Scope("k", Role.OPERATOR, days=0), "1 to 1826 days"),
        (Scope("k", Role.TENANT), "needs the account"),
        (Scope("k", Role.OPERATOR, account=bytes(8)), "needs the account"),
        (Scope("k", Role.METRICS, meters=frozenset({bytes(8)})), "sees no meters"),
        (Scope("k", Role.OPERATOR, meters=frozenset()), "1 to 100 meters"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(door: Doorkeeper, scope: Scope, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        await door.keys.add(scope, None, ADMIN)


@pytest.mark.parametrize(
    ("name", "role", "account", "said"),
    [
        ("", Role.OPERATOR, None, "cannot be a name"),
        ("a b", Role.OPERATOR, None, "cannot be a name"),
        ("<script>", Role.OPERATOR, None, "cannot be a name"),
        ("x" * 65, Role.OPERATOR, None, "cannot be a name"),
        ("anna\n", Role.OPERATOR, None, "cannot be a name"),
        ("ANNA", Role.OPERATOR, None, "somebody called 'anna' already"),
        ("eve", Role.METRICS, None, "is a role for API keys"),
        ("eve", Role.TENANT, None, "a tenant needs the account"),
        ("eve", Role.ADMIN, bytes(8), "a tenant needs the account"),
    ],
)
async def test_a_person_who_makes_no_sense_is_refused(
    door: Doorkeeper, name: str, role: Role, account: bytes | None, said: str
) -> None:
    await door.people.add("anna", Role.OPERATOR, None, ADMIN)
    with pytest.raises(AccessError, match=said):
        await door.people.add(name, role, account, ADMIN)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "fewer than 12"),
        ("x" * 257, "more than 256"),
        ("aaaaaaaaaaaabbbb", "different characters"),
        ("annamaria.huber1", "little more than the name"),
    ],
)
def test_a_poor_password_is_refused_with_the_reason(password: str, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        passwords.check(password, "annamaria.huber")


async def test_passwords_are_argon2id_and_a_person_who_is_not_there_is_verified_too() -> None:
    hasher = passwords.Hasher()
    stored = await hasher.hash(PASSWORD)
    assert re.match(r"\$argon2id\$v=19\$m=65536,t=2,p=1\$", stored)
    assert await hasher.verify(stored, PASSWORD)
    assert not await hasher.verify(stored, PASSWORD + "x")
    assert not await hasher.verify(None, PASSWORD)
    assert await hasher.verify(await hasher.hash("Z\u0075\u0308rich am See"), "Z\u00fcrich am See")


async def test_too_many_at_one_moment_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 2)
    hasher = passwords.Hasher()
    done = await asyncio.gather(*(hasher.hash(PASSWORD) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in done].count(BusyError) == 3


def test_tokens_of_one_kind_open_nothing_of_another() -> None:
    key = tokens.make(tokens.Kind.KEY)
    assert tokens.parse(tokens.Kind.KEY, key.text) == key
    assert tokens.parse(tokens.Kind.SESSION, key.text) is None
    for text in ("", "cgk_", key.text + "x", key.text[:-1], key.text.upper(), key.text + "\n", " " + key.text):
        assert tokens.parse(tokens.Kind.KEY, text) is None
    assert not key.matches(tokens.make(tokens.Kind.KEY).digest)
