"""Codes of the oracle."""

from __future__ import annotations

import pytest

from ledger import transaction
from ledger.codes import Code
from ledger.modules.requests import REQUESTS, Request
from ledger.roots import Write
from tests.ledger.chain_kit import Chain, id_of, key_of
from tests.ledger.code_kit import E, must_refuse, reaches


def ask(chain: Chain, who: str = "user0", meter: int = 0, epoch: int = E) -> bytes:
    receipt = chain.must(who, "oracle", "request_energy_data", chain.meters[meter].id, epoch)
    request: bytes = dict(receipt.events[-1].values)["request"]
    return request


def add_operators(chain: Chain, count: int = 3) -> list[str]:
    names = [f"operator{n}" for n in range(count)]
    for n, name in enumerate(names):
        chain.add_person(name, 8000 + n)
        chain.must("admin", "registry", "register_operator", id_of(8000 + n), key_of(8000 + n).public_key)
    return names


def ask_operators(chain: Chain) -> bytes:
    receipt = chain.must("authority", "oracle", "request_data", "feeder balance", E)
    request: bytes = dict(receipt.events[-1].values)["request"]
    return request


@reaches(Code.ALREADY_REPORTED)
def _(chain: Chain) -> Code:
    chain.to_epoch(E + 1)
    chain.report(chain.meters[0].boundary(E, 0, 0))
    ask(chain)
    return must_refuse(chain, "user0", "oracle", "request_energy_data", chain.meters[0].id, E - 1)


@reaches(Code.UNKNOWN_REQUEST)
def _(chain: Chain) -> Code:
    add_operators(chain, 1)
    assert must_refuse(chain, "operator0", "oracle", "fulfill_data", bytes(8), 5) is Code.UNKNOWN_REQUEST
    return must_refuse(chain, "gateway", "oracle", "fulfill_energy_data", bytes(8), [b""])


@reaches(Code.REQUEST_ENDED)
def _(chain: Chain) -> Code:
    request = ask(chain)
    chain.to_epoch(E + 1)
    readings = [chain.meters[0].boundary(epoch, 0, 0) for epoch in (E, E + 1)]
    chain.must("gateway", "oracle", "fulfill_energy_data", request, readings)
    return must_refuse(chain, "gateway", "oracle", "fulfill_energy_data", request, readings)


@reaches(Code.REQUEST_EXISTS)
def _(chain: Chain) -> Code:
    # Nobody finds two transactions with one 8-byte head; so a state that has the head already is made.
    raw = chain.sign("user0", "oracle", "request_energy_data", chain.meters[0].id, E)
    row = REQUESTS.encode(Request(bytes(8), b"", 0, "topic", 1, 0, 0))
    chain.state._put_all([Write(REQUESTS.name, transaction.decode(raw).id[:8], row)])
    header = chain.state.header
    _, execution = chain.runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, transactions=[raw],
        evidence=(), last_commit=chain.commit(),
    )  # fmt: skip
    return execution.receipts[0].code


@reaches(Code.TOO_MANY_REQUESTS)
def _(chain: Chain) -> Code:
    for _ in range(16):
        ask(chain)
    assert must_refuse(chain, "user0", "oracle", "request_energy_data", chain.meters[0].id, E) is Code.TOO_MANY_REQUESTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.modules.oracle.MAX_OPEN_REQUESTS", 17)
        ask(chain, "admin")
        return must_refuse(chain, "admin", "oracle", "request_energy_data", chain.meters[0].id, E)


@reaches(Code.WRONG_REQUEST)
def _(chain: Chain) -> Code:
    """Operators never stand in for a meter, nor a meter for them."""
    operator = add_operators(chain)[0]
    assert must_refuse(chain, operator, "oracle", "fulfill_data", ask(chain), 5) is Code.WRONG_REQUEST
    readings = [chain.meters[0].boundary(E, 0, 0)]
    return must_refuse(chain, "gateway", "oracle", "fulfill_energy_data", ask_operators(chain), readings)


@reaches(Code.NOT_ANSWERED)
def _(chain: Chain) -> Code:
    request = ask(chain)
    chain.to_epoch(E + 1)
    for raw in (b"junk", chain.meters[1].boundary(E, 0, 0), chain.meters[0].boundary(E, 0, 0)):
        assert must_refuse(chain, "gateway", "oracle", "fulfill_energy_data", request, [raw]) is Code.NOT_ANSWERED
    forged = bytearray(chain.meters[0].boundary(E + 1, 0, 0))
    forged[-1] ^= 1
    return must_refuse(chain, "gateway", "oracle", "fulfill_energy_data", request, [bytes(forged)])


@reaches(Code.ALREADY_ANSWERED)
def _(chain: Chain) -> Code:
    operator = add_operators(chain)[0]
    request = ask_operators(chain)
    chain.must(operator, "oracle", "fulfill_data", request, 5)
    return must_refuse(chain, operator, "oracle", "fulfill_data", request, 6)


@reaches(Code.TOO_FEW_OPERATORS)
def _(chain: Chain) -> Code:
    add_operators(chain, 2)
    return must_refuse(chain, "authority", "oracle", "request_data", "feeder balance", E)


@reaches(Code.NOTHING_DUE)
def _(chain: Chain) -> Code:
    maker = chain.add_person("maker", 8100)
    chain.must("admin", "registry", "register_market_maker", maker.id, maker.key.public_key)
    return must_refuse(chain, "maker", "oracle", "perform_upkeep")
