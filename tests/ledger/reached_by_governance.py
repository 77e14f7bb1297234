"""Codes of decisions, governance, authorities, tokens and fees."""

from __future__ import annotations

from typing import Any

from ledger.codes import Code
from ledger.modules.authorities import prove_synced
from ledger.modules.kinds import MAX_AMOUNT
from ledger.statements import sign_possession
from tests.ledger.chain_kit import AIP, AUTHORITIES, Chain, id_of, key_of
from tests.ledger.code_kit import must_refuse, reaches, sell

KEYS = [key_of(2000 + n) for n in range(3)]


def notice(chain: Chain) -> int:
    return chain.state.header.height + 20


@reaches(Code.MODULE_PAUSED)
def _(chain: Chain) -> Code:
    chain.decide("governance", "pause", "market")
    assert must_refuse(chain, "authority3", "governance", "pause", "again", "market") is Code.MODULE_PAUSED
    return must_refuse(chain, "user0", *sell(chain))


@reaches(Code.UNKNOWN_BLOCK)
def _(chain: Chain) -> Code:
    height, block_id = chain.state.header.height, chain.state.header.id
    call = ("authority", "resumption", "record", "the fire")
    assert must_refuse(chain, *call, height + 1, block_id) is Code.UNKNOWN_BLOCK
    return must_refuse(chain, *call, height, bytes(32))


@reaches(Code.FEE_UNPAID)
def _(chain: Chain) -> Code:
    height = notice(chain)
    chain.decide("governance", "set_parameter", "call_fee_aaip", 10**15, height)
    while chain.state.header.height < height:
        chain.block()
    balance = 1000 * AIP
    user, other = chain.people["user0"].id, chain.people["user1"].id
    chain.must("user0", "money", "transfer", other, balance - 10**15)  # the fee takes the rest
    assert chain.ask("money", "balance_of", user) == 0
    return must_refuse(chain, "user0", "money", "approve", other, 1)


@reaches(Code.ALLOWANCE_TOO_LOW)
def _(chain: Chain) -> Code:
    owner, spender = chain.people["user0"].id, chain.people["user1"].id
    for token in ("money", "grid"):
        chain.must("user0", token, "approve", spender, 5)
        call = ("user1", token, "transfer_from", owner, chain.people["user2"].id, 6)
        assert must_refuse(chain, *call) is Code.ALLOWANCE_TOO_LOW
    return must_refuse(chain, "user0", "money", "decrease_allowance", spender, 6)


@reaches(Code.ALLOWANCE_TOO_HIGH)
def _(chain: Chain) -> Code:
    spender = chain.people["user1"].id
    for token in ("money", "grid"):
        chain.must("user0", token, "approve", spender, MAX_AMOUNT)
        assert must_refuse(chain, "user0", token, "increase_allowance", spender, 1) is Code.ALLOWANCE_TOO_HIGH
    return must_refuse(chain, "user0", "money", "increase_allowance", spender, MAX_AMOUNT)


@reaches(Code.ISSUE_ABOVE_CAP)
def _(chain: Chain) -> Code:
    user = chain.people["user0"].id
    chain.decide("money", "issue", user, 10**24 - 5)
    return must_refuse(chain, "authority3", "money", "issue", "more", user, 6)


@reaches(Code.SUPPLY_TOO_LARGE)
def _(chain: Chain) -> Code:
    height = notice(chain)
    chain.decide("governance", "set_parameter", "daily_issue_cap_aaip", 10**36, height)
    while chain.state.header.height < height:
        chain.block()
    return must_refuse(chain, "authority", "money", "issue", "minutes", chain.people["user0"].id, 10**36)


@reaches(Code.ALREADY_DECIDED)
def _(chain: Chain) -> Code:
    call = ("money", "issue", chain.people["user0"].id, AIP)
    chain.decide(*call)
    return must_refuse(chain, "authority3", *call[:2], "minutes", *call[2:])


@reaches(Code.TOO_MANY_DECISIONS)
def _(chain: Chain) -> Code:
    user = chain.people["user0"].id
    for number in range(16):
        chain.must("authority", "money", "issue", f"minutes {number}", user, AIP)
    chain.must("authority1", "money", "issue", "minutes of another", user, AIP)
    return must_refuse(chain, "authority", "money", "issue", "one more", user, AIP)


@reaches(Code.NOT_PAUSABLE)
def _(chain: Chain) -> Code:
    assert must_refuse(chain, "authority", "governance", "pause", "minutes", "authorities") is Code.NOT_PAUSABLE
    assert must_refuse(chain, "authority", "governance", "pause", "minutes", "nothing") is Code.NOT_PAUSABLE
    return must_refuse(chain, "authority", "governance", "pause", "minutes", "governance")


@reaches(Code.NOT_PAUSED)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "authority", "governance", "resume", "minutes", "market")


@reaches(Code.BAD_PARAMETER)
def _(chain: Chain) -> Code:
    for name, value in (("epoch_s", 60), ("magic", 1), ("clearing_rule", 1), ("retail_uaip_per_kwh", 1)):
        call = ("set_parameter", "minutes", name, value, notice(chain))
        assert must_refuse(chain, "authority", "governance", *call) is Code.BAD_PARAMETER
    return must_refuse(chain, "authority", "governance", "set_clearing_rule", "minutes", "lottery", notice(chain))


@reaches(Code.WRONG_NOTICE)
def _(chain: Chain) -> Code:
    height = chain.state.header.height + 1
    assert must_refuse(chain, "authority", "governance", "upgrade", "minutes", 2, height + 9) is Code.WRONG_NOTICE
    return must_refuse(chain, "authority", "governance", "upgrade", "minutes", 2, height + 10**7 + 9)


@reaches(Code.VERSION_NOT_NEWER)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "authority", "governance", "upgrade", "minutes", 1, notice(chain))


# --- authorities ---


def candidate(chain: Chain, name: str = "EPPO", number: int = 104) -> tuple[Any, ...]:
    chain.add_person(name, number)
    keys = KEYS if number == 104 else [key_of(20 * number + n) for n in range(3)]
    return id_of(number), key_of(number).public_key, name, *(key.public_key for key in keys)


def proofs(chain: Chain, number: int = 104, keys: list[Any] | None = None) -> list[bytes]:
    return [sign_possession(chain.genesis.chain_id, id_of(number), key) for key in keys or KEYS]


def admit(chain: Chain) -> None:
    chain.decide("authorities", "admit", *candidate(chain))
    chain.vote_keys[KEYS[0].public_key] = KEYS[0]


def join(chain: Chain) -> tuple[Any, ...]:
    """Return the call of a candidate that knows the newest block."""
    head = chain.state.head
    return "EPPO", "authorities", "join", head.header.height, prove_synced(head, id_of(104)), *proofs(chain)


@reaches(Code.BAD_AUTHORITY)
def _(chain: Chain) -> Code:
    good = candidate(chain)
    wrong = [(*good[:2], "ERC", *good[3:]), (*good[:2], "a b", *good[3:]), (*good[:4], good[3], good[5])]
    codes = {must_refuse(chain, "authority", "authorities", "admit", "minutes", *one) for one in wrong}
    assert len(codes) == 1
    return codes.pop()


@reaches(Code.UNKNOWN_AUTHORITY)
def _(chain: Chain) -> Code:
    keys = (*(key.public_key for key in KEYS), *proofs(chain, 10))
    user = chain.people["user0"].id
    refused = must_refuse(chain, "authority", "authorities", "rotate_keys", "minutes", user, *keys)
    assert refused is Code.UNKNOWN_AUTHORITY
    return must_refuse(chain, "authority", "authorities", "remove", "minutes", user)


@reaches(Code.TOO_FEW_AUTHORITIES)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "authority", "authorities", "remove", "minutes", id_of(103))


@reaches(Code.TOO_MANY_AUTHORITIES)
def _(chain: Chain) -> Code:
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.modules.authorities.MAX_AUTHORITIES", 4)
        return must_refuse(chain, "authority", "authorities", "admit", "minutes", *candidate(chain))


@reaches(Code.TOO_MANY_CANDIDATES)
def _(chain: Chain) -> Code:
    for number in range(105, 109):
        chain.decide("authorities", "admit", *candidate(chain, f"A{number}", number))
    return must_refuse(chain, "authority", "authorities", "admit", "minutes", *candidate(chain))


@reaches(Code.NOT_A_CANDIDATE)
def _(chain: Chain) -> Code:
    call = ("authorities", "join", 1, bytes(32), *proofs(chain))
    assert must_refuse(chain, "user0", *call) is Code.NOT_A_CANDIDATE
    admit(chain)
    chain.block()
    chain.must(*join(chain))
    return must_refuse(chain, *join(chain))


@reaches(Code.NOT_SYNCED)
def _(chain: Chain) -> Code:
    """Neither the hash of another height, nor another candidate's, nor a guess, nor an old one says it."""
    admit(chain)
    old = join(chain)
    call = list(join(chain))
    call[3] += 1
    assert must_refuse(chain, *call) is Code.NOT_SYNCED
    foreign = [*join(chain)[:4], prove_synced(chain.state.head, id_of(105)), *proofs(chain)]
    assert must_refuse(chain, *foreign) is Code.NOT_SYNCED
    for _ in range(32):
        chain.block()
    return must_refuse(chain, *old)


@reaches(Code.CHANGE_PENDING)
def _(chain: Chain) -> Code:
    admit(chain)
    chain.must(*join(chain))
    return must_refuse(chain, AUTHORITIES[0], "authorities", "remove", "minutes", id_of(103))
