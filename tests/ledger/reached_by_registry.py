"""Codes of the registry: users, keys, meters' keys and delegations."""

from __future__ import annotations

from typing import Any

from ledger.codes import Code
from ledger.keys import key_id
from ledger.statements import sign_meter_key
from tests.ledger.chain_kit import AIP, Chain, Person, TestMeter, id_of, key_of
from tests.ledger.code_kit import E, buy, must_refuse, reaches, sell

KEY = key_of(900).public_key


@reaches(Code.USER_NOT_VERIFIED)
def _(chain: Chain) -> Code:
    new = id_of(98)
    chain.must("admin", "registry", "register_user", new, KEY, "consumer", "east")
    assert must_refuse(chain, "admin", "registry", "suspend_user", new) is Code.USER_NOT_VERIFIED
    make_agent(chain)
    chain.must("admin", "registry", "suspend_user", chain.people["user0"].id)
    return must_refuse(chain, "agent", *sell(chain))


@reaches(Code.ALREADY_LINKED)
def _(chain: Chain) -> Code:
    pair = chain.people["user0"].id, chain.people["user1"].id
    chain.must("admin", "registry", "link_accounts", *pair)
    assert must_refuse(chain, "admin", "registry", "link_accounts", pair[0], pair[0]) is Code.ALREADY_LINKED
    return must_refuse(chain, "admin", "registry", "link_accounts", *reversed(pair))


@reaches(Code.TOO_MANY_ACCOUNTS)
def _(chain: Chain) -> Code:
    first = chain.people["user0"].id
    others = [id_of(7000 + n) for n in range(10)]
    for n, other in enumerate(others):
        chain.must("admin", "registry", "register_user", other, key_of(7000 + n).public_key, "consumer", "east")
    for other in others[:9]:
        chain.must("admin", "registry", "link_accounts", first, other)
    return must_refuse(chain, "admin", "registry", "link_accounts", others[9], first)


@reaches(Code.NOTHING_TO_DISMISS)
def _(chain: Chain) -> Code:
    chain.must("admin", "registry", "dismiss", chain.people["gateway"].id)
    assert must_refuse(chain, "admin", "registry", "dismiss", chain.people["admin2"].id) is Code.NOTHING_TO_DISMISS
    user = chain.people["user0"].id
    refused = must_refuse(chain, "authority", "registry", "dismiss_admin", "minutes", user)
    assert refused is Code.NOTHING_TO_DISMISS
    return must_refuse(chain, "admin", "registry", "dismiss", chain.people["gateway"].id)


@reaches(Code.KEY_REPLACEMENT_WAITS)
def _(chain: Chain) -> Code:
    user = chain.people["user0"].id
    chain.must("admin", "registry", "replace_key", user, KEY)
    return must_refuse(chain, "admin2", "registry", "replace_key", user, key_of(901).public_key)


@reaches(Code.NO_KEY_REPLACEMENT)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", "registry", "keep_key", chain.people["user0"].id)


def revoke(chain: Chain, meter: TestMeter) -> None:
    height = chain.state.header.height + 1
    chain.must("admin", "registry", "revoke_meter_key", key_id(meter.key.public_key), height)


def rotation(
    chain: Chain, meter: TestMeter, first: int, key: int = 900, signed: dict[str, Any] | None = None
) -> tuple[Any, ...]:
    """Return the call; the consent says what the call does, but for what *signed* changes in it."""
    public_key = key_of(key).public_key
    statement: dict[str, Any] = {
        "meter": meter.id, "public_key": public_key, "first_sequence": first, "old_key": meter.key,
    } | (signed or {})  # fmt: skip
    consent = sign_meter_key(chain.genesis.chain_id, **statement)
    return "registry", "rotate_meter_key", meter.id, public_key, first, consent


@reaches(Code.METER_WITHOUT_KEY)
def _(chain: Chain) -> Code:
    meter = chain.meters[0]
    revoke(chain, meter)
    assert must_refuse(chain, "admin", "registry", "reinstate_meter", meter.id) is Code.METER_WITHOUT_KEY
    return must_refuse(chain, "admin", *rotation(chain, meter, 50))


@reaches(Code.METER_HAS_KEY)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "admin", "registry", "replace_meter_key", chain.meters[0].id, KEY)


@reaches(Code.TOO_MANY_KEYS)
def _(chain: Chain) -> Code:
    meter = chain.meters[0]
    for n in range(31):
        chain.must("admin", *rotation(chain, meter, 10 + n, 7000 + n))
        meter.key = key_of(7000 + n)
    return must_refuse(chain, "admin", *rotation(chain, meter, 90))


@reaches(Code.SEQUENCE_TAKEN)
def _(chain: Chain) -> Code:
    meter = chain.meters[0]
    chain.must("admin", *rotation(chain, meter, 10))
    meter.key = key_of(900)
    return must_refuse(chain, "admin", *rotation(chain, meter, 10, 901))


@reaches(Code.KEY_NOT_PROVEN)
def _(chain: Chain) -> Code:
    """Neither another key, nor a statement about another key, meter or number, nor a reading stands for the consent."""
    meter = chain.meters[0]
    wrong: list[dict[str, Any]] = [
        {"old_key": key_of(900)}, {"meter": chain.meters[1].id}, {"first_sequence": 11},
        {"public_key": key_of(901).public_key},
    ]  # fmt: skip
    for changes in wrong:
        assert must_refuse(chain, "admin", *rotation(chain, meter, 10, signed=changes)) is Code.KEY_NOT_PROVEN
    call = rotation(chain, meter, 10)
    assert must_refuse(chain, "admin", *call[:-1], meter.boundary(E, 0, 0)) is Code.KEY_NOT_PROVEN
    return must_refuse(chain, "admin", *call[:-1], b"consent")


@reaches(Code.HEIGHT_PASSED)
def _(chain: Chain) -> Code:
    key = key_id(chain.meters[0].key.public_key)
    return must_refuse(chain, "admin", "registry", "revoke_meter_key", key, chain.state.header.height)


@reaches(Code.ALREADY_REVOKED)
def _(chain: Chain) -> Code:
    key, height = key_id(chain.meters[0].key.public_key), chain.state.header.height + 50
    chain.must("admin", "registry", "revoke_meter_key", key, height)
    chain.must("admin", "registry", "revoke_meter_key", key, height - 1)
    return must_refuse(chain, "admin", "registry", "revoke_meter_key", key, height)


@reaches(Code.READING_KEY_REVOKED)
def _(chain: Chain) -> Code:
    meter = chain.meters[0]
    chain.to_epoch(E)
    raw = meter.boundary(E, 1, 1)
    revoke(chain, meter)
    assert must_refuse(chain, "admin", "registry", "rebase", meter.id, raw) is Code.READING_KEY_REVOKED
    return chain.report(raw)[0]


@reaches(Code.READING_KEY_ENDED)
def _(chain: Chain) -> Code:
    meter, old = chain.meters[0], chain.meters[0].key
    chain.must("admin", *rotation(chain, meter, 3))
    chain.to_epoch(E)
    meter.key = key_of(900)
    meter.sequence = 1
    assert chain.report(meter.boundary(E, 0, 0)) == [Code.READING_KEY_ENDED]  # number 2: the old key's
    meter.key = old
    return chain.report(meter.boundary(E, 0, 0))[0]  # number 3: the new key's


# --- delegations ---


def make_agent(chain: Chain, limit_aaip: int = 100 * AIP, until_s: int = 10_000) -> Person:
    agent = chain.add_person("agent", 99)
    until_ms = chain.state.header.time_ms + until_s * 1000
    arguments = (agent.id, agent.key.public_key, [chain.meters[0].id], limit_aaip, until_ms)
    chain.must("user0", "registry", "delegate", *arguments)
    return agent


def delegation(chain: Chain, number: int, until_ms: int | None = None) -> tuple[Any, ...]:
    until = chain.state.header.time_ms + 60_000 if until_ms is None else until_ms
    meters = [chain.meters[0].id]
    return "registry", "delegate", id_of(number), key_of(number).public_key, meters, AIP, until


@reaches(Code.TOO_MANY_AGENTS)
def _(chain: Chain) -> Code:
    for number in range(7000, 7008):
        chain.must("user0", *delegation(chain, number))
    chain.must("user0", *delegation(chain, 7000))
    return must_refuse(chain, "user0", *delegation(chain, 7008))


@reaches(Code.NO_DELEGATION)
def _(chain: Chain) -> Code:
    agent = make_agent(chain)
    assert must_refuse(chain, "user1", "registry", "end_delegation", agent.id) is Code.NO_DELEGATION
    chain.must("user0", "registry", "end_delegation", agent.id)
    assert must_refuse(chain, "user0", "registry", "end_delegation", agent.id) is Code.NO_DELEGATION
    return must_refuse(chain, "agent", *sell(chain))


@reaches(Code.DELEGATION_TERM)
def _(chain: Chain) -> Code:
    now = chain.state.header.time_ms + 1000
    assert must_refuse(chain, "user0", *delegation(chain, 99, now)) is Code.DELEGATION_TERM
    return must_refuse(chain, "user0", *delegation(chain, 99, now + 401 * 86_400_000))


@reaches(Code.DELEGATION_OVER)
def _(chain: Chain) -> Code:
    make_agent(chain, until_s=2)
    chain.must("agent", *sell(chain))
    chain.block()
    return must_refuse(chain, "agent", *sell(chain))


@reaches(Code.DELEGATION_SPENT)
def _(chain: Chain) -> Code:
    """100 Wh lock (1 + 4.5 - 3) x 0.1 = 0.25 AIP and cost 0.005: three fit, and each epoch has its own limit."""
    make_agent(chain, limit_aaip=3 * 255 * AIP // 1000)
    for _ in range(3):
        chain.must("agent", *sell(chain))
    chain.must("agent", *sell(chain, epoch=E + 1))
    return must_refuse(chain, "agent", *sell(chain))


@reaches(Code.METER_NOT_DELEGATED)
def _(chain: Chain) -> Code:
    make_agent(chain)
    other = chain.add_based_meter("user0", 7)
    order = dict(chain.must("user0", *sell(chain, meter=other)).events[-1].values)["order"]
    assert must_refuse(chain, "agent", "market", "cancel_order", order) is Code.METER_NOT_DELEGATED
    assert must_refuse(chain, "agent", *buy(chain)) is Code.METER_NOT_DELEGATED
    return must_refuse(chain, "agent", *sell(chain, meter=other))
