"""Codes of refused calls."""

from __future__ import annotations

from typing import Any

import pytest

from ledger import transaction
from ledger.codes import Code
from ledger.modules import money
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.market.tables import ORDER_PLACES, OrderPlace
from ledger.roots import Write
from tests.ledger.chain_kit import AIP, START_EPOCH, Chain, id_of, key_of
from tests.ledger.code_kit import E, buy, fork, must_refuse, reaches, sell


@reaches(Code.UNKNOWN_MODULE)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", "nothing", "transfer")


@reaches(Code.UNKNOWN_FUNCTION)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", "money", "mint")


@reaches(Code.BAD_ARGUMENTS)
def _(chain: Chain) -> Code:
    other = chain.people["user1"].id
    wrong: list[tuple[Any, ...]] = [(), (other,), (other, 0), (other, -1), (other, "1"), (other, True), (b"short", 1)]
    for arguments in wrong:
        assert must_refuse(chain, "user0", "money", "transfer", *arguments) is Code.BAD_ARGUMENTS
    reports: list[Any] = [[], [b""] * 601, b"", [1], [b"x" * 1025], None]
    for readings in reports:
        assert must_refuse(chain, "gateway", "market", "report_intervals", readings) is Code.BAD_ARGUMENTS
    wrong_text = (id_of(99), key_of(99).public_key, "prosumer", "line\nbreak")
    return must_refuse(chain, "admin", "registry", "register_user", *wrong_text)


@reaches(Code.NOT_PERMITTED)
def _(chain: Chain) -> Code:
    someone, key, meter = id_of(99), key_of(99).public_key, chain.meters[0]
    forbidden: list[tuple[Any, ...]] = [
        ("user0", "registry", "register_user", someone, key, "prosumer", "east"),
        ("user0", "registry", "verify_user", someone),
        ("gateway", "registry", "register_gateway", someone, key),
        ("authority", "registry", "assign_meter", someone, someone, "sdm120", 1000, key, True, "east"),
        ("user0", "registry", "rebase", meter.id, meter.boundary(E, 0, 0)),
        ("gateway", "registry", "reinstate_meter", meter.id),
        ("admin", "market", "create_sell_order", meter.id, E, 3_000_000, 100),
        ("gateway", "market", "create_buy_order", meter.id, E, 3_000_000, 100),
        ("grid", "market", "cancel_order", bytes(8)),
        ("user0", "market", "release_energy", meter.id, E),
    ]
    codes = {must_refuse(chain, *call) for call in forbidden}
    assert len(codes) == 1
    return codes.pop()


@reaches(Code.MAY_NOT_REPORT)
def _(chain: Chain) -> Code:
    """An admin, the grid account and a user without a meter may not even repeat what a gateway reported."""
    chain.to_epoch(E)
    readings = [meter.boundary(E, 0, 0) for meter in chain.meters]
    codes = {must_refuse(chain, who, "market", "report_intervals", readings) for who in ("admin", "grid", "user2")}
    assert chain.report(*readings) == [Code.DONE] * 2
    codes |= {must_refuse(chain, "user2", "market", "report_intervals", readings)}
    assert len(codes) == 1
    return codes.pop()


@reaches(Code.UNKNOWN_ACCOUNT)
def _(chain: Chain) -> Code:
    meter = (id_of(900), id_of(99), "sdm120", 1000, key_of(900).public_key, True, "east")
    assert must_refuse(chain, "admin", "registry", "assign_meter", *meter) is Code.UNKNOWN_ACCOUNT
    assert must_refuse(chain, "admin", "registry", "verify_user", id_of(99)) is Code.UNKNOWN_ACCOUNT
    assert must_refuse(chain, "user0", "grid", "transfer", id_of(99), 1) is Code.UNKNOWN_ACCOUNT
    return must_refuse(chain, "user0", "money", "transfer", id_of(99), 1)


@reaches(Code.ACCOUNT_EXISTS)
def _(chain: Chain) -> Code:
    taken = (chain.people["user0"].id, key_of(99).public_key)
    return must_refuse(chain, "admin", "registry", "register_user", *taken, "prosumer", "east")


@reaches(Code.KEY_IN_USE)
def _(chain: Chain) -> Code:
    meter = (id_of(900), chain.people["user0"].id, "sdm120", 1000, chain.meters[0].key.public_key, True, "east")
    assert must_refuse(chain, "admin", "registry", "assign_meter", *meter) is Code.KEY_IN_USE
    return must_refuse(chain, "admin", "registry", "register_gateway", id_of(99), key_of(10).public_key)


@reaches(Code.UNKNOWN_USER_TYPE)
def _(chain: Chain) -> Code:
    user = (id_of(99), key_of(99).public_key, "wizard", "east")
    return must_refuse(chain, "admin", "registry", "register_user", *user)


@reaches(Code.UNKNOWN_METER)
def _(chain: Chain) -> Code:
    assert must_refuse(chain, "admin", "registry", "reinstate_meter", id_of(99)) is Code.UNKNOWN_METER
    return must_refuse(chain, "user0", "market", "create_sell_order", id_of(99), E, 3_000_000, 100)


@reaches(Code.METER_EXISTS)
def _(chain: Chain) -> Code:
    meter = (chain.meters[0].id, chain.people["user0"].id, "sdm120", 1000, key_of(900).public_key, True, "east")
    return must_refuse(chain, "admin", "registry", "assign_meter", *meter)


@reaches(Code.TOO_MANY_METERS)
def _(chain: Chain) -> Code:
    for number in range(1, 10):
        chain.add_meter("user0", 20 + number)
    meter = (id_of(900), chain.people["user0"].id, "sdm120", 1000, key_of(900).public_key, True, "east")
    return must_refuse(chain, "admin", "registry", "assign_meter", *meter)


@reaches(Code.METER_SUSPENDED)
def _(chain: Chain) -> Code:
    fork(chain)
    assert must_refuse(chain, "user0", *sell(chain, epoch=E + 1)) is Code.METER_SUSPENDED
    chain.to_epoch(E + 1)
    return chain.report(chain.meters[0].boundary(E + 1, 3, 3))[0]


@reaches(Code.METER_WITHOUT_BASELINE)
def _(chain: Chain) -> Code:
    meter = chain.add_meter("user0", 7)
    assert must_refuse(chain, "user0", *sell(chain, meter=meter)) is Code.METER_WITHOUT_BASELINE
    return chain.report(meter.boundary(chain.epoch, 0, 0))[0]


@reaches(Code.METER_NOT_SUSPENDED)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "admin", "registry", "reinstate_meter", chain.meters[0].id)


@reaches(Code.BALANCE_TOO_LOW)
def _(chain: Chain) -> Code:
    other = chain.people["user1"].id
    assert must_refuse(chain, "user0", "grid", "transfer", other, 1) is Code.BALANCE_TOO_LOW
    assert must_refuse(chain, "user0", "grid", "retire", AGRID_PER_WH) is Code.BALANCE_TOO_LOW
    assert must_refuse(chain, "user0", "money", "transfer", other, 1001 * AIP) is Code.BALANCE_TOO_LOW
    # the lock alone could be paid, the fee on top of it cannot
    balance = money.find(chain.state, chain.people["user1"].id).balance_aaip
    chain.must("user1", "money", "transfer", chain.people["user0"].id, balance - 100 * 3_000_000 * 10**9)
    return must_refuse(chain, "user1", *buy(chain))


@reaches(Code.IN_ARREARS)
def _(chain: Chain) -> Code:
    chain.must("user1", "money", "transfer", chain.people["user0"].id, 1000 * AIP)
    chain.to_epoch(E)
    chain.report(chain.meters[1].boundary(E, 500, 0))
    chain.report(chain.meters[0].boundary(E, 0, 0))
    assert must_refuse(chain, "user1", *buy(chain, epoch=E + 1)) is Code.IN_ARREARS
    return must_refuse(chain, "user1", "money", "transfer", chain.people["user0"].id, 1)


@reaches(Code.SAME_ACCOUNT)
def _(chain: Chain) -> Code:
    own = chain.people["user0"].id
    assert must_refuse(chain, "user0", "grid", "transfer", own, 1) is Code.SAME_ACCOUNT
    return must_refuse(chain, "user0", "money", "transfer", own, 1)


@reaches(Code.AMOUNT_NOT_WHOLE_WH)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", "grid", "retire", 1)


@reaches(Code.NOT_METER_OWNER)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user1", *buy(chain, meter=chain.meters[0]))


@reaches(Code.METER_CANNOT_EXPORT)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user1", *sell(chain, meter=chain.meters[1]))


@reaches(Code.GATE_CLOSED)
def _(chain: Chain) -> Code:
    order = dict(chain.must("user0", *sell(chain)).events[-1].values)["order"]
    chain.to_epoch(E, offset_s=0)
    assert must_refuse(chain, "user0", "market", "cancel_order", order) is Code.GATE_CLOSED
    return must_refuse(chain, "user0", *sell(chain))


@reaches(Code.EPOCH_TOO_FAR)
def _(chain: Chain) -> Code:
    chain.must("user0", *sell(chain, epoch=START_EPOCH + 672))
    return must_refuse(chain, "user0", *sell(chain, epoch=START_EPOCH + 673))


@reaches(Code.QUANTITY_BELOW_MINIMUM)
def _(chain: Chain) -> Code:
    assert must_refuse(chain, "user0", *sell(chain, wh=0)) is Code.QUANTITY_BELOW_MINIMUM
    return must_refuse(chain, "user0", *sell(chain, wh=99))


@reaches(Code.QUANTITY_ABOVE_MAXIMUM)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", *sell(chain, wh=10**9 + 1))


@reaches(Code.PRICE_BELOW_FEED_IN)
def _(chain: Chain) -> Code:
    chain.must("user0", *sell(chain, price=2_200_000))
    return must_refuse(chain, "user0", *sell(chain, price=2_199_999))


@reaches(Code.PRICE_ABOVE_RETAIL)
def _(chain: Chain) -> Code:
    chain.must("user1", *buy(chain, price=4_500_000))
    return must_refuse(chain, "user1", *buy(chain, price=4_500_001))


@reaches(Code.ABOVE_RATED_POWER)
def _(chain: Chain) -> Code:
    chain.must("user0", *sell(chain, wh=2400))  # 10 kW x 900 s = 2,500 Wh
    chain.must("user0", *sell(chain, wh=2500, epoch=E + 1))
    return must_refuse(chain, "user0", *sell(chain, wh=101))


@reaches(Code.TOO_MANY_ORDERS_OF_USER)
def _(chain: Chain) -> Code:
    meter = chain.add_based_meter("user0", 7, rated_power_w=10**6)
    raws = [chain.sign("user0", *sell(chain, meter=meter)) for _ in range(100)]
    assert {receipt.code for receipt in chain.block(*raws).receipts} == {Code.DONE}
    return must_refuse(chain, "user0", *sell(chain, meter=meter))


@reaches(Code.TOO_MANY_ORDERS)
def _(chain: Chain) -> Code:
    """Four users and room for eight orders: two slots are each user's own, whatever another one sends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.modules.market.orders.MAX_ORDERS_PER_EPOCH", 8)
        for _ in range(2):
            chain.must("user0", *sell(chain))
        code = must_refuse(chain, "user0", *sell(chain))
        chain.must("user1", *buy(chain, price=2_900_000))
        return code


@reaches(Code.SELF_CROSS)
def _(chain: Chain) -> Code:
    meter = chain.add_based_meter("user0", 7)
    chain.must("user0", *sell(chain, price=3_000_000))
    chain.must("user0", *buy(chain, meter=meter, price=2_999_999))
    assert must_refuse(chain, "user0", *sell(chain, price=2_999_999)) is Code.SELF_CROSS
    return must_refuse(chain, "user0", *buy(chain, meter=meter, price=3_000_000))


@reaches(Code.UNKNOWN_ORDER)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "user0", "market", "cancel_order", bytes(8))


@reaches(Code.NOT_ORDER_OWNER)
def _(chain: Chain) -> Code:
    order = dict(chain.must("user0", *sell(chain)).events[-1].values)["order"]
    return must_refuse(chain, "user1", "market", "cancel_order", order)


@reaches(Code.ORDER_EXISTS)
def _(chain: Chain) -> Code:
    # Nobody finds two transactions with one 8-byte head; so a state that has the head already is made.
    raw = chain.sign("user0", *sell(chain))
    head = transaction.decode(raw).id[:8]
    chain.state._put_all([Write(ORDER_PLACES.name, head, ORDER_PLACES.encode(OrderPlace(b"")))])
    header = chain.state.header
    _, execution = chain.runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, transactions=[raw],
        evidence=(), last_commit=chain.commit(),
    )  # fmt: skip
    return execution.receipts[0].code


def hold(chain: Chain) -> None:
    """Report more than meter 0 can have exported: 10 kW for 900 s with 5 % and slack is 2,637 Wh."""
    chain.to_epoch(E)
    assert chain.report(chain.meters[0].boundary(E, 0, 3000)) == [Code.DONE]


@reaches(Code.NOTHING_HELD)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "admin", "market", "release_energy", chain.meters[0].id, E)


@reaches(Code.ALREADY_APPROVED)
def _(chain: Chain) -> Code:
    hold(chain)
    chain.must("admin", "market", "release_energy", chain.meters[0].id, E - 1)
    return must_refuse(chain, "admin", "market", "release_energy", chain.meters[0].id, E - 1)


@reaches(Code.BAD_PERIOD)
def _(chain: Chain) -> Code:
    bad = (
        "noon", "mon-fri 9:00-22:00 5000000/2200000", "mon-fri 22:00-09:00 5000000/2200000",
        "2026-02-30 00:00-24:00 5000000/2200000", "xyz 00:00-24:00 5000000/2200000", "sun 00:00-24:01 5000000/2200000",
        "mon 00:00-24:00 2200000/5000000", "mon 00:00-24:00 1000000001/0",
    )  # fmt: skip
    arguments = ((0, [period], E + 10) for period in bad)
    codes = {must_refuse(chain, "authority", "tariffs", "set_calendar", "minutes", *one) for one in arguments}
    assert len(codes) == 1
    return codes.pop()


@reaches(Code.NOTHING_TO_CORRECT)
def _(chain: Chain) -> Code:
    return must_refuse(chain, "authority", "market", "approve_correction", "minutes", chain.meters[0].id, E)
