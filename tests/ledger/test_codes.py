"""Every code that the ledger has: explained, and reached by the input it is for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger import cbor, transaction
from ledger.block import Block, Commit
from ledger.codes import EXPLANATIONS, FIRST_RECEIPT_CODE, Code, Refusal, explain
from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Vote, sign
from ledger.envelope import Kind
from ledger.modules import money
from ledger.modules.grid import AGRID_PER_WH
from ledger.reading import Reason
from ledger.runtime import InvalidBlockError, Runtime
from tests.ledger.chain_kit import AIP, START_EPOCH, Chain, TestMeter, id_of, key_of, make_chain, reading_codes

E = START_EPOCH + 1
Scenario = Callable[[Chain], Code]
SCENARIOS: dict[Code, Scenario] = {}


def reaches(code: Code) -> Callable[[Scenario], Scenario]:
    def register(scenario: Scenario) -> Scenario:
        assert code not in SCENARIOS
        SCENARIOS[code] = scenario
        return scenario

    return register


@pytest.fixture
def chain() -> Chain:
    """Return a chain where user0 may sell with meter 0 (10 kW) and user1 may buy with meter 1."""
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.add_based_meter("user1", 1, can_export=False)
    return chain


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_every_code_is_explained_and_reached(code, chain):
    assert explain(code).meaning
    assert explain(code).next_step
    before = chain.state.root
    nonces = {name: person.nonce for name, person in chain.people.items()}
    assert SCENARIOS[code](chain) is code
    if code < FIRST_RECEIPT_CODE and code is not Code.DONE:
        assert chain.state.root == before
        assert nonces.keys() == chain.people.keys()


def test_no_scenario_and_no_explanation_is_left_over():
    assert set(SCENARIOS) == set(EXPLANATIONS) == set(Code)


# --- transactions that are not admitted ---


def judge(chain: Chain, raw: bytes) -> Code:
    """Return the code for *raw*; mempool, builder and a block that holds it must agree."""
    header = chain.state.header
    checked = chain.runtime.check_transaction(chain.state, raw)
    assert isinstance(checked, Refusal)
    arguments = {"height": header.height + 1, "time_ms": header.time_ms + 1, "proposer": 0, "evidence": ()}
    built, _ = chain.runtime.build(chain.state, transactions=[raw], last_commit=chain.commit(), **arguments)
    assert built.transactions == ()
    return reject(chain, replace(built, transactions=(raw,)), checked.code)


def reject(chain: Chain, block: Block, expected: Code | None = None) -> Code:
    with pytest.raises(InvalidBlockError) as caught:
        Runtime(chain.genesis).execute(chain.state, block)
    assert expected in (None, caught.value.code)
    return caught.value.code


def transfer(chain: Chain, **changes) -> bytes:
    return chain.sign("user0", "money", "transfer", chain.people["user1"].id, 1, **changes)


@reaches(Code.DONE)
def _(chain):
    return chain.run("user0", "money", "transfer", chain.people["user1"].id, 1).code


@reaches(Code.UNDECODABLE)
def _(chain):
    return judge(chain, b"not an envelope")


@reaches(Code.WRONG_CHAIN)
def _(chain):
    return judge(chain, transfer(chain, chain_id=bytes(8)))


@reaches(Code.EXPIRED)
def _(chain):
    return judge(chain, transfer(chain, valid_until=chain.state.header.height))


@reaches(Code.UNKNOWN_SENDER)
def _(chain):
    return judge(chain, transfer(chain, sender=bytes(8)))


@reaches(Code.WRONG_NONCE)
def _(chain):
    used = transfer(chain)
    chain.block(used)
    header = chain.state.header
    assert isinstance(chain.runtime.check_transaction(chain.state, transfer(chain, nonce=3)), transaction.Transaction)
    too_far = chain.runtime.check_transaction(chain.state, transfer(chain, nonce=1000))
    assert isinstance(too_far, Refusal)
    assert header == chain.state.header
    code = judge(chain, used)
    chain.state = chain.runtime.genesis_state()
    for block in chain.blocks[:-1]:
        chain.state.apply(chain.runtime.execute(chain.state, block))
    return code


@reaches(Code.BAD_SIGNATURE)
def _(chain):
    return judge(chain, transfer(chain, key=key_of(11)))


# --- blocks ---


def next_block(chain: Chain, **changes) -> Block:
    header = chain.state.header
    arguments = {
        "height": header.height + 1, "time_ms": header.time_ms + 1, "proposer": 0, "evidence": (), "transactions": (),
        "last_commit": chain.commit(),
    } | changes  # fmt: skip
    return chain.runtime.build(chain.state, **arguments)[0]


def altered(chain: Chain, **changes) -> Block:
    block = next_block(chain)
    return replace(block, header=replace(block.header, **changes))


@reaches(Code.WRONG_HEIGHT)
def _(chain):
    return reject(chain, altered(chain, height=chain.state.header.height + 2))


@reaches(Code.WRONG_PARENT)
def _(chain):
    return reject(chain, altered(chain, parent=bytes(32)))


@reaches(Code.WRONG_TIME)
def _(chain):
    with pytest.raises(InvalidBlockError):
        next_block(chain, time_ms=chain.state.header.time_ms)
    return reject(chain, altered(chain, time_ms=chain.state.header.time_ms))


@reaches(Code.WRONG_VERSION)
def _(chain):
    return reject(chain, altered(chain, version=2))


@reaches(Code.WRONG_PROPOSER)
def _(chain):
    return reject(chain, altered(chain, first_proposer=4))


@reaches(Code.WRONG_COMMIT)
def _(chain):
    block, commit = next_block(chain), chain.commit()
    assert commit is not None
    too_few = replace(commit, signatures=commit.signatures[:2])
    forged = replace(commit, signatures=((0, bytes(64)), *commit.signatures[1:]))
    for wrong in (None, too_few, forged, Commit(1, 0, bytes(32), commit.signatures)):
        assert reject(chain, replace(block, last_commit=wrong)) is Code.WRONG_COMMIT
    return reject(chain, replace(block, last_commit=None))


@reaches(Code.WRONG_EVIDENCE)
def _(chain):
    return reject(chain, replace(next_block(chain), evidence=(b"evidence",)))


@reaches(Code.WRONG_RESULT)
def _(chain):
    for name in ("state_root", "log_root", "set_hash", "next_set_hash", "transaction_root", "last_commit_hash"):
        assert reject(chain, altered(chain, **{name: bytes([1] * 32)})) is Code.WRONG_RESULT
    return reject(chain, altered(chain, log_size=0))


@reaches(Code.BLOCK_TOO_LARGE)
def _(chain):
    readings = [b"x" * 1000] * 100
    raws = [chain.sign("gateway", "market", "report_intervals", readings) for _ in range(25)]
    block = next_block(chain, transactions=raws)
    assert 0 < len(block.transactions) < len(raws)
    assert len(block.encode()) <= 2 * 2**20
    return reject(chain, replace(block, transactions=tuple(raws)))


def test_evidence_is_recorded_once_and_charged_to_the_culprit():
    from ledger.modules.authorities import DUTIES

    chain = make_chain()
    votes = [Vote(Kind.PREVOTE, 1, 0, bytes([n] * 32)) for n in (1, 2)]
    messages = [sign(vote, chain.genesis.chain_id, 2, key_of(1020)) for vote in votes]
    proof = Evidence.of(*messages).encode()
    execution = chain.block(evidence=[proof, proof, b"nonsense"])
    assert chain.blocks[-1].evidence == (proof,)
    assert [event.name for event in execution.events] == ["offence"]
    assert chain.state.get(DUTIES, id_of(102)).offences == 1
    chain.block(evidence=[proof])
    assert chain.blocks[-1].evidence == ()
    assert reject(chain, replace(next_block(chain), evidence=(proof,))) is Code.WRONG_EVIDENCE


def test_a_certificate_without_an_authority_counts_as_its_missed_vote():
    from ledger.modules.authorities import DUTIES

    chain = make_chain()
    commit = chain.commit()
    assert commit is not None
    block = next_block(chain, last_commit=replace(commit, signatures=commit.signatures[1:]))
    chain.state.apply(chain.runtime.execute(chain.state, block))
    assert chain.state.get(DUTIES, id_of(100)).missed_votes == 1
    assert chain.state.get(DUTIES, id_of(101)) is None


# --- refused calls ---


def must_refuse(chain: Chain, who: str, *call) -> Code:
    """Run a call that is refused: its nonce is used and nothing else of its sender changed."""
    holding = money.find(chain.state, chain.people[who].id)
    receipt = chain.run(who, *call)
    assert receipt.events == ()
    assert receipt.text
    assert money.find(chain.state, chain.people[who].id) == holding
    return receipt.code


@reaches(Code.UNKNOWN_MODULE)
def _(chain):
    return must_refuse(chain, "user0", "nothing", "transfer")


@reaches(Code.UNKNOWN_FUNCTION)
def _(chain):
    return must_refuse(chain, "user0", "money", "mint")


@reaches(Code.BAD_ARGUMENTS)
def _(chain):
    other = chain.people["user1"].id
    for arguments in ((), (other,), (other, 0), (other, -1), (other, "1"), (other, True), (b"short", 1), (None, 1)):
        assert must_refuse(chain, "user0", "money", "transfer", *arguments) is Code.BAD_ARGUMENTS
    for arguments in (([],), ([b""] * 601,), (b"",), ([1],), ([b"x" * 1025],)):
        assert must_refuse(chain, "gateway", "market", "report_intervals", *arguments) is Code.BAD_ARGUMENTS
    wrong_text = (id_of(99), key_of(99).public_key, "prosumer", "line\nbreak")
    return must_refuse(chain, "admin", "registry", "register_user", *wrong_text)


@reaches(Code.NOT_PERMITTED)
def _(chain):
    someone, key, meter = id_of(99), key_of(99).public_key, chain.meters[0]
    forbidden = [
        ("user0", "registry", "register_user", someone, key, "prosumer", "east"),
        ("user0", "registry", "verify_user", someone),
        ("gateway", "registry", "register_gateway", someone, key),
        ("authority", "registry", "assign_meter", someone, someone, "sdm120", 1000, key, True),
        ("user0", "registry", "rebase", meter.id, meter.boundary(E, 0, 0)),
        ("gateway", "registry", "reinstate_meter", meter.id),
        ("admin", "market", "create_sell_order", meter.id, E, 3_000_000, 100),
        ("gateway", "market", "create_buy_order", meter.id, E, 3_000_000, 100),
        ("grid", "market", "cancel_order", bytes(8)),
        ("user0", "market", "release_energy", meter.id, E),
    ]
    assert {must_refuse(chain, *call) for call in forbidden} == {Code.NOT_PERMITTED}
    chain.to_epoch(E)
    return chain.report(meter.boundary(E, 0, 0), who="user1")[0]


@reaches(Code.UNKNOWN_ACCOUNT)
def _(chain):
    meter = (id_of(900), id_of(99), "sdm120", 1000, key_of(900).public_key, True)
    assert must_refuse(chain, "admin", "registry", "assign_meter", *meter) is Code.UNKNOWN_ACCOUNT
    assert must_refuse(chain, "admin", "registry", "verify_user", id_of(99)) is Code.UNKNOWN_ACCOUNT
    assert must_refuse(chain, "user0", "grid", "transfer", id_of(99), 1) is Code.UNKNOWN_ACCOUNT
    return must_refuse(chain, "user0", "money", "transfer", id_of(99), 1)


@reaches(Code.ACCOUNT_EXISTS)
def _(chain):
    taken = (chain.people["user0"].id, key_of(99).public_key)
    return must_refuse(chain, "admin", "registry", "register_user", *taken, "prosumer", "east")


@reaches(Code.KEY_IN_USE)
def _(chain):
    meter = (id_of(900), chain.people["user0"].id, "sdm120", 1000, chain.meters[0].key.public_key, True)
    assert must_refuse(chain, "admin", "registry", "assign_meter", *meter) is Code.KEY_IN_USE
    return must_refuse(chain, "admin", "registry", "register_gateway", id_of(99), key_of(10).public_key)


@reaches(Code.UNKNOWN_USER_TYPE)
def _(chain):
    user = (id_of(99), key_of(99).public_key, "wizard", "east")
    return must_refuse(chain, "admin", "registry", "register_user", *user)


@reaches(Code.UNKNOWN_METER)
def _(chain):
    assert must_refuse(chain, "admin", "registry", "reinstate_meter", id_of(99)) is Code.UNKNOWN_METER
    return must_refuse(chain, "user0", "market", "create_sell_order", id_of(99), E, 3_000_000, 100)


@reaches(Code.METER_EXISTS)
def _(chain):
    meter = (chain.meters[0].id, chain.people["user0"].id, "sdm120", 1000, key_of(900).public_key, True)
    return must_refuse(chain, "admin", "registry", "assign_meter", *meter)


@reaches(Code.TOO_MANY_METERS)
def _(chain):
    for number in range(1, 10):
        chain.add_meter("user0", 20 + number)
    meter = (id_of(900), chain.people["user0"].id, "sdm120", 1000, key_of(900).public_key, True)
    return must_refuse(chain, "admin", "registry", "assign_meter", *meter)


def sell(chain: Chain, *, meter: TestMeter | None = None, epoch: int = E, price: int = 3_000_000, wh: int = 100):
    return "market", "create_sell_order", (meter or chain.meters[0]).id, epoch, price, wh


def buy(chain: Chain, *, meter: TestMeter | None = None, epoch: int = E, price: int = 3_000_000, wh: int = 100):
    return "market", "create_buy_order", (meter or chain.meters[1]).id, epoch, price, wh


def fork(chain: Chain) -> Code:
    """Sign two readings for one boundary, and report both."""
    chain.to_epoch(E)
    meter = chain.meters[0]
    codes = chain.report(meter.boundary(E, 1, 1), meter.boundary(E, 2, 2))
    assert codes[0] is Code.DONE
    return codes[1]


@reaches(Code.METER_SUSPENDED)
def _(chain):
    fork(chain)
    assert must_refuse(chain, "user0", *sell(chain, epoch=E + 1)) is Code.METER_SUSPENDED
    chain.to_epoch(E + 1)
    return chain.report(chain.meters[0].boundary(E + 1, 3, 3))[0]


@reaches(Code.METER_WITHOUT_BASELINE)
def _(chain):
    meter = chain.add_meter("user0", 7)
    assert must_refuse(chain, "user0", *sell(chain, meter=meter)) is Code.METER_WITHOUT_BASELINE
    return chain.report(meter.boundary(chain.epoch, 0, 0))[0]


@reaches(Code.METER_NOT_SUSPENDED)
def _(chain):
    return must_refuse(chain, "admin", "registry", "reinstate_meter", chain.meters[0].id)


@reaches(Code.BALANCE_TOO_LOW)
def _(chain):
    other = chain.people["user1"].id
    assert must_refuse(chain, "user0", "grid", "transfer", other, 1) is Code.BALANCE_TOO_LOW
    assert must_refuse(chain, "user0", "grid", "retire", AGRID_PER_WH) is Code.BALANCE_TOO_LOW
    assert must_refuse(chain, "user0", "money", "transfer", other, 1001 * AIP) is Code.BALANCE_TOO_LOW
    # the lock alone could be paid, the fee on top of it cannot
    balance = money.find(chain.state, chain.people["user1"].id).balance_aaip
    chain.must("user1", "money", "transfer", chain.people["user0"].id, balance - 100 * 3_000_000 * 10**9)
    return must_refuse(chain, "user1", *buy(chain))


@reaches(Code.IN_ARREARS)
def _(chain):
    chain.must("user1", "money", "transfer", chain.people["user0"].id, 1000 * AIP)
    chain.to_epoch(E)
    chain.report(chain.meters[1].boundary(E, 500, 0))
    chain.report(chain.meters[0].boundary(E, 0, 0))
    assert must_refuse(chain, "user1", *buy(chain, epoch=E + 1)) is Code.IN_ARREARS
    return must_refuse(chain, "user1", "money", "transfer", chain.people["user0"].id, 1)


@reaches(Code.SAME_ACCOUNT)
def _(chain):
    own = chain.people["user0"].id
    assert must_refuse(chain, "user0", "grid", "transfer", own, 1) is Code.SAME_ACCOUNT
    return must_refuse(chain, "user0", "money", "transfer", own, 1)


@reaches(Code.AMOUNT_NOT_WHOLE_WH)
def _(chain):
    return must_refuse(chain, "user0", "grid", "retire", 1)


@reaches(Code.NOT_METER_OWNER)
def _(chain):
    return must_refuse(chain, "user1", *buy(chain, meter=chain.meters[0]))


@reaches(Code.METER_CANNOT_EXPORT)
def _(chain):
    return must_refuse(chain, "user1", *sell(chain, meter=chain.meters[1]))


@reaches(Code.GATE_CLOSED)
def _(chain):
    order = dict(chain.must("user0", *sell(chain)).events[-1].values)["order"]
    chain.to_epoch(E, offset_s=0)
    assert must_refuse(chain, "user0", "market", "cancel_order", order) is Code.GATE_CLOSED
    return must_refuse(chain, "user0", *sell(chain))


@reaches(Code.EPOCH_TOO_FAR)
def _(chain):
    chain.must("user0", *sell(chain, epoch=START_EPOCH + 672))
    return must_refuse(chain, "user0", *sell(chain, epoch=START_EPOCH + 673))


@reaches(Code.QUANTITY_BELOW_MINIMUM)
def _(chain):
    assert must_refuse(chain, "user0", *sell(chain, wh=0)) is Code.QUANTITY_BELOW_MINIMUM
    return must_refuse(chain, "user0", *sell(chain, wh=99))


@reaches(Code.QUANTITY_ABOVE_MAXIMUM)
def _(chain):
    return must_refuse(chain, "user0", *sell(chain, wh=10**9 + 1))


@reaches(Code.PRICE_BELOW_FEED_IN)
def _(chain):
    chain.must("user0", *sell(chain, price=2_200_000))
    return must_refuse(chain, "user0", *sell(chain, price=2_199_999))


@reaches(Code.PRICE_ABOVE_RETAIL)
def _(chain):
    chain.must("user1", *buy(chain, price=4_500_000))
    return must_refuse(chain, "user1", *buy(chain, price=4_500_001))


@reaches(Code.ABOVE_RATED_POWER)
def _(chain):
    chain.must("user0", *sell(chain, wh=2400))  # 10 kW x 900 s = 2,500 Wh
    chain.must("user0", *sell(chain, wh=2500, epoch=E + 1))
    return must_refuse(chain, "user0", *sell(chain, wh=101))


@reaches(Code.TOO_MANY_ORDERS_OF_USER)
def _(chain):
    meter = chain.add_based_meter("user0", 7, rated_power_w=10**6)
    raws = [chain.sign("user0", *sell(chain, meter=meter)) for _ in range(100)]
    assert {receipt.code for receipt in chain.block(*raws).receipts} == {Code.DONE}
    return must_refuse(chain, "user0", *sell(chain, meter=meter))


@reaches(Code.TOO_MANY_ORDERS)
def _(chain):
    """Four users and room for eight orders: two slots are each user's own, whatever another one sends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.modules.market.orders.MAX_ORDERS_PER_EPOCH", 8)
        for _ in range(2):
            chain.must("user0", *sell(chain))
        code = must_refuse(chain, "user0", *sell(chain))
        chain.must("user1", *buy(chain, price=2_900_000))
        return code


@reaches(Code.SELF_CROSS)
def _(chain):
    meter = chain.add_based_meter("user0", 7)
    chain.must("user0", *sell(chain, price=3_000_000))
    chain.must("user0", *buy(chain, meter=meter, price=2_999_999))
    assert must_refuse(chain, "user0", *sell(chain, price=2_999_999)) is Code.SELF_CROSS
    return must_refuse(chain, "user0", *buy(chain, meter=meter, price=3_000_000))


@reaches(Code.UNKNOWN_ORDER)
def _(chain):
    return must_refuse(chain, "user0", "market", "cancel_order", bytes(8))


@reaches(Code.NOT_ORDER_OWNER)
def _(chain):
    order = dict(chain.must("user0", *sell(chain)).events[-1].values)["order"]
    return must_refuse(chain, "user1", "market", "cancel_order", order)


@reaches(Code.ORDER_EXISTS)
def _(chain):
    from ledger.modules.market.orders import ORDER_PLACES
    from ledger.modules.market.tables import OrderPlace
    from ledger.roots import Write

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
def _(chain):
    return must_refuse(chain, "admin", "market", "release_energy", chain.meters[0].id, E)


@reaches(Code.ALREADY_APPROVED)
def _(chain):
    hold(chain)
    chain.must("admin", "market", "release_energy", chain.meters[0].id, E - 1)
    return must_refuse(chain, "admin", "market", "release_energy", chain.meters[0].id, E - 1)


# --- readings ---


def report_one(chain: Chain, *arguments, epoch: int = E, **changes) -> Code:
    chain.to_epoch(epoch)
    return chain.report(chain.meters[0].boundary(*arguments, **changes))[0]


@reaches(Code.READING_REPEATED)
def _(chain):
    chain.to_epoch(E)
    raw = chain.meters[0].boundary(E, 10, 20)
    chain.report(raw)
    supply = chain.state.get(money.HOLDINGS, chain.people["user0"].id)
    code = chain.report(raw)[0]
    assert chain.state.get(money.HOLDINGS, chain.people["user0"].id) == supply
    return code


@reaches(Code.READING_UNDECODABLE)
def _(chain):
    return chain.report(b"not a reading")[0]


@reaches(Code.READING_NOT_BOUNDARY)
def _(chain):
    chain.to_epoch(E)
    values = {"reason": Reason.PERIODIC, "epoch": None}
    return chain.report(chain.meters[0].boundary(E, 0, 0, **values))[0]


@reaches(Code.READING_KEY_UNKNOWN)
def _(chain):
    stranger = TestMeter(id_of(900), key_of(900), chain.people["user0"])
    return chain.report(stranger.boundary(chain.epoch, 0, 0))[0]


@reaches(Code.READING_BAD_SIGNATURE)
def _(chain):
    chain.to_epoch(E)
    raw = bytearray(chain.meters[0].boundary(E, 0, 0))
    raw[-1] ^= 1
    return chain.report(bytes(raw))[0]


@reaches(Code.READING_TIME_OFF)
def _(chain):
    chain.to_epoch(E)
    boundary = E * 900  # max(2 s, 1 % of 900 s) = 9 s
    assert report_one(chain, E, 0, 0, epoch=E + 1, time=boundary - 10) is Code.READING_TIME_OFF
    code = chain.report(chain.meters[0].boundary(E, 0, 0, time=boundary + 10))[0]
    assert chain.report(chain.meters[0].boundary(E, 0, 0, time=boundary + 9)) == [Code.DONE]
    return code


@reaches(Code.READING_FROM_FUTURE)
def _(chain):
    return chain.report(chain.meters[0].boundary(E, 0, 0))[0]


@reaches(Code.READING_LACKS_REGISTER)
def _(chain):
    return report_one(chain, E, 0, 0, registers=((180, 1),))


@reaches(Code.READING_OUTDATED)
def _(chain):
    chain.to_epoch(E + 2)
    older = chain.meters[0].boundary(E, 0, 0)
    chain.report(chain.meters[0].boundary(E + 2, 100, 100))
    assert must_refuse(chain, "admin", "registry", "rebase", chain.meters[0].id, older) is Code.READING_OUTDATED
    return chain.report(older)[0]


@reaches(Code.READING_FORKED)
def _(chain):
    return fork(chain)


@reaches(Code.READING_NOT_OF_METER)
def _(chain):
    raw = chain.meters[0].boundary(chain.epoch, 0, 0)
    return must_refuse(chain, "admin", "registry", "rebase", chain.meters[1].id, raw)


def test_one_bad_reading_does_not_hold_up_the_good_ones_of_its_report(chain):
    chain.to_epoch(E)
    good = [meter.boundary(E, 5, 0) for meter in chain.meters]
    receipt = chain.must("gateway", "market", "report_intervals", [good[0], b"bad", good[1]])
    assert reading_codes(receipt) == [Code.DONE, Code.READING_UNDECODABLE, Code.DONE]


def test_a_refused_transaction_is_visible_in_the_block_with_its_code(chain):
    receipt = chain.run("user0", "money", "transfer", chain.people["user0"].id, 1)
    assert receipt.record.code == Code.SAME_ACCOUNT
    assert receipt.record.effects_hash == hashlib.sha256(cbor.encode([])).digest()
    assert receipt.record.transaction_id == transaction.decode(chain.blocks[-1].transactions[0]).id
