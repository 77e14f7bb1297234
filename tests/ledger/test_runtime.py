"""The runtime is a pure function: the same blocks give the same roots, everywhere and every time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import merkle, records
from ledger.block import decode
from ledger.codes import Code, Refusal
from ledger.execution import LoggedRecord, Receipt
from ledger.modules import MODULES, accounts, describe_calls, money
from ledger.modules.anchors import BLOCKS
from ledger.modules.kinds import MAX_READINGS_PER_REPORT, AccountId, Amount
from ledger.modules.module import Context
from ledger.runtime import MAX_NONCE_AHEAD, InvalidBlockError, Runtime, _Budget
from ledger.signatures import SignatureCache
from ledger.state import LedgerState
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from tests.ledger.chain_kit import START_EPOCH, Chain, id_of, key_of, make_chain
from tests.ledger.reached_by_anchors import make_anchors

VECTORS = Path(__file__).parents[1] / "data" / "ledger-roots.json"
E = START_EPOCH + 1
KEYS = [key_of(2000 + n).public_key for n in range(3)]


def play() -> Chain:
    """Return a chain after a short history that touches every module."""
    chain = make_chain()
    for number in range(3):
        chain.add_based_meter(f"user{number}", number, import_wh=1000, export_wh=5000)
    chain.must("user3", "money", "transfer", chain.people["user0"].id, 12_345)
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, E, 3_000_000, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, E, 4_000_000, 600)
    chain.run("user2", "market", "create_buy_order", chain.meters[2].id, E, 1, 400)
    chain.to_epoch(E)
    chain.report(*(meter.boundary(E, 1100, 5000) for meter in chain.meters))
    chain.to_epoch(E + 1)
    chain.report(*(meter.boundary(E + 1, 1700, 5900) for meter in chain.meters))
    chain.must("grid", "grid", "retire", 10**15)
    chain.must("gateway", "anchors", "submit_anchors", [one.encode() for one in make_anchors(chain, 3)])
    chain.must("user1", "oracle", "request_energy_data", chain.meters[1].id, E + 2)
    chain.decide("money", "issue", chain.people["user0"].id, 10**18)
    chain.decide("tariffs", "set_calendar", 420, ["mon-fri 09:00-22:00 5800000/2400000"], E + 96)
    chain.decide("authorities", "admit", id_of(104), key_of(104).public_key, "EPPO", *KEYS)
    chain.block()
    return chain


@pytest.fixture(scope="module")
def played() -> Chain:
    return play()


def describe(chain: Chain) -> dict:
    """Return what `tests/data/ledger-roots.json` holds; `json.dumps(describe(play()), indent=1)` records it anew."""
    blocks = [
        {
            "height": block.header.height,
            "state_root": block.header.state_root.hex(),
            "log_size": block.header.log_size,
            "log_root": block.header.log_root.hex(),
            "block_id": block.id.hex(),
        }
        for block in chain.blocks
    ]
    genesis_root = Runtime(chain.genesis).genesis_state().root.hex()
    return {"chain_id": chain.genesis.chain_id.hex(), "genesis_state_root": genesis_root, "blocks": blocks}


def test_the_roots_are_those_of_the_vectors(played: Chain) -> None:
    """Fixed once and for every processor and Python: a change here is a change of the protocol."""
    assert describe(played) == json.loads(VECTORS.read_text())


def test_execution_from_genesis_gives_every_block_again(played: Chain) -> None:
    runtime = Runtime(played.genesis)
    state = runtime.genesis_state()
    for proposed, execution in zip(played.blocks, played.executions, strict=True):
        again = runtime.execute(state, decode(proposed.encode()))
        assert again == execution
        state.apply(again)
    assert list(state.rows()) == list(played.state.rows())


def test_execution_does_not_touch_the_state(played: Chain) -> None:
    runtime = Runtime(played.genesis)
    state = runtime.genesis_state()
    rows, head = list(state.rows()), state.head
    runtime.execute(state, played.blocks[0])
    assert (list(state.rows()), state.head) == (rows, head)


def test_threads_and_remembered_signatures_change_no_result(played: Chain) -> None:
    with ThreadPoolExecutor(2) as pool:
        runtime = Runtime(played.genesis, pool=pool)
        state = runtime.genesis_state()
        for proposed, execution in zip(played.blocks, played.executions, strict=True):
            assert runtime.execute(state, proposed) == execution
            assert runtime.execute(state, proposed) == execution
            state.apply(execution)


def test_a_state_restored_at_any_height_goes_on_the_same(played: Chain) -> None:
    runtime = Runtime(played.genesis)
    state = runtime.genesis_state()
    for proposed, execution in zip(played.blocks, played.executions, strict=True):
        restored = LedgerState.restore(state.head, state.rows())
        assert runtime.execute(restored, proposed) == execution
        state.apply(execution)


def test_leaves_are_receipts_then_records_then_the_header(played: Chain) -> None:
    tree, salts = merkle.Frontier(), set[bytes]()
    for block, execution in zip(played.blocks, played.executions, strict=True):
        first = tree.size
        entries: list[Receipt | LoggedRecord] = [*execution.receipts, *execution.records]
        openings = [(entry.record, entry.salt, entry.log_index) for entry in entries]
        expected = [records.leaf(record, salt) for record, salt, _ in openings]
        salts.update(entry.salt for entry in entries)
        expected.append(records.header_leaf(block.header.leaf_fields()))
        assert list(execution.leaves) == expected
        assert [index for _, _, index in openings] == list(range(first, first + len(openings)))
        for leaf in execution.leaves:
            tree = tree.append(merkle.leaf_hash(leaf))
        assert (tree.size, tree.root()) == (block.header.log_size, block.header.log_root)
    assert len(salts) == tree.size - len(played.blocks)


def test_the_builder_drops_what_is_not_admissible_and_keeps_the_order() -> None:
    chain = make_chain()
    other = chain.people["user1"].id
    good = [chain.sign("user0", "money", "transfer", other, 1) for _ in range(3)]
    ahead = chain.sign("user0", "money", "transfer", other, 1, nonce=9)
    forged = chain.sign("user2", "money", "transfer", other, 1, key=key_of(10))
    header = chain.state.header
    block, execution = chain.runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, evidence=(),
        transactions=[good[0], b"junk", forged, good[2], good[1], ahead, good[0]], last_commit=chain.commit(),
    )  # fmt: skip
    assert block.transactions == (good[0], good[1])
    assert Runtime(chain.genesis).execute(chain.state, block) == execution


def test_the_mempool_takes_nonces_that_run_ahead_but_not_far() -> None:
    chain = make_chain()
    call = ("money", "transfer", chain.people["user1"].id, 1)
    for nonce, is_taken in ((0, True), (MAX_NONCE_AHEAD, True), (MAX_NONCE_AHEAD + 1, False)):
        checked = chain.runtime.check_transaction(chain.state, chain.sign("user0", *call, nonce=nonce))
        assert isinstance(checked, Transaction) == is_taken


def test_the_mempool_refuses_calls_that_can_never_run() -> None:
    chain = make_chain()
    for call, code in (
        (("money", "mint"), Code.UNKNOWN_FUNCTION),
        (("magic", "transfer"), Code.UNKNOWN_MODULE),
        (("money", "transfer"), Code.BAD_ARGUMENTS),
    ):
        checked = chain.runtime.check_transaction(chain.state, chain.sign("user0", *call))
        assert isinstance(checked, Refusal)
        assert checked.code is code


def test_the_next_due_time_is_the_gate_closure_then_the_end_then_the_deadline() -> None:
    chain = make_chain()
    assert chain.runtime.next_due_ms(chain.state) is None
    for number in range(2):
        chain.add_based_meter(f"user{number}", number)
    chain.must("user0", "market", "create_sell_order", chain.meters[0].id, E, 3_000_000, 1000)
    chain.must("user1", "market", "create_buy_order", chain.meters[1].id, E, 3_000_000, 1000)
    assert chain.runtime.next_due_ms(chain.state) == E * 900_000
    chain.to_epoch(E, offset_s=0)
    assert chain.runtime.next_due_ms(chain.state) == (E + 1) * 900_000
    chain.to_epoch(E + 1, offset_s=0)
    assert chain.runtime.next_due_ms(chain.state) == (E + 1) * 900_000 + 21_600_000


def test_signature_verdicts_are_remembered_within_a_limit() -> None:
    cache = SignatureCache(limit=4)
    chain = make_chain()
    raws = [chain.sign("user0", "money", "transfer", chain.people["user1"].id, n + 1) for n in range(9)]
    key = chain.people["user0"].key.public_key
    cache.check_all([(raw, key) for raw in raws], None)
    assert len(cache) == 4
    assert all(cache.is_signed_by(raw, key) for raw in raws)
    assert not cache.is_signed_by(raws[0], key_of(11).public_key)
    assert len(cache) == 4


def test_every_call_is_documented_and_every_table_belongs_to_one_module() -> None:
    for call in describe_calls():
        assert call["documentation"], call
    tables = [table.name for module in MODULES for table in module.tables]
    assert len(tables) == len(set(tables))
    assert all(name.count(".") == 1 and len(name) <= 40 for name in tables)


def test_every_row_in_the_state_belongs_to_a_declared_table(played: Chain) -> None:
    declared = {table.name for module in MODULES for table in module.tables}
    assert {row.table for row in played.state.rows()} <= declared


def test_a_block_may_not_hold_more_signatures_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    monkeypatch.setattr("ledger.runtime.MAX_BLOCK_SIGNATURES", 3)
    raws = [chain.sign("gateway", "market", "report_intervals", [b"a", b"b"]) for _ in range(2)]
    header = chain.state.header
    block, _ = chain.runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, evidence=(), transactions=raws,
        last_commit=chain.commit(),
    )  # fmt: skip
    assert block.transactions == (raws[0],)
    with pytest.raises(InvalidBlockError) as caught:
        chain.runtime.execute(chain.state, replace(block, transactions=tuple(raws)))
    assert caught.value.code is Code.BLOCK_TOO_LARGE


def test_each_round_that_failed_halves_the_next_block_but_one_transaction_always_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = make_chain()
    monkeypatch.setattr("ledger.block.MAX_BLOCK_TRANSACTIONS", 8)
    raws = [chain.sign("user0", "money", "transfer", chain.people["user1"].id, 1) for _ in range(9)]
    header, commit = chain.state.header, chain.commit()

    def build(round_: int) -> int:
        block, _ = chain.runtime.build(
            chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, evidence=(),
            transactions=raws, last_commit=commit, round_=round_,
        )  # fmt: skip
        return len(block.transactions)

    assert [build(round_) for round_ in (0, 1, 2, 3, 4, 30)] == [8, 4, 2, 1, 1, 1]


def test_the_longest_transaction_with_the_most_readings_fits_a_block_of_any_round() -> None:
    for round_ in (0, 1, 7, 30):
        budget = _Budget(0, round_)
        assert budget._bytes >= MAX_TRANSACTION_BYTES
        assert budget._signatures > MAX_READINGS_PER_REPORT


def test_statements_in_calls_count_as_signatures_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `join` has three besides its own."""
    chain = make_chain()
    monkeypatch.setattr("ledger.runtime.MAX_BLOCK_SIGNATURES", 7)
    monkeypatch.setattr("ledger.runtime.MAX_READINGS_PER_REPORT", 1)
    raws = [chain.sign("user0", "authorities", "join", 1, bytes(32), b"a", b"b", b"c") for _ in range(2)]
    header = chain.state.header
    block, _ = chain.runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, evidence=(), transactions=raws,
        last_commit=chain.commit(),
    )  # fmt: skip
    assert block.transactions == (raws[0],)


def test_of_a_full_mempool_no_more_is_looked_at_than_a_block_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    monkeypatch.setattr("ledger.runtime.MAX_BLOCK_SIGNATURES", 3)
    raws = [chain.sign("user0", "money", "transfer", chain.people["user1"].id, 1) for _ in range(9)]
    header, runtime = chain.state.header, Runtime(chain.genesis)
    block, _ = runtime.build(
        chain.state, height=header.height + 1, time_ms=header.time_ms + 1, proposer=0, evidence=(),
        transactions=[b"junk", *raws], last_commit=chain.commit(),
    )  # fmt: skip
    assert block.transactions == tuple(raws[:3])
    assert len(runtime.signatures) == 3


def test_a_refused_call_leaves_nothing_of_what_it_wrote_but_its_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_chain()
    payer, payee = chain.people["user0"].id, chain.people["user1"].id

    def change_one_s_mind(context: Context, to: AccountId, amount_aaip: Amount) -> Refusal:
        money.pay(context.state, context.sender, to, amount_aaip)
        context.emit("money", "transferred")
        return Refusal(Code.NOT_PERMITTED, "second thoughts")

    definition = replace(money.module.calls["transfer"], function=change_one_s_mind)
    monkeypatch.setitem(money.module.calls, "transfer", definition)
    before = money.find(chain.state, payer), money.find(chain.state, payee)
    receipt = chain.run("user0", "money", "transfer", payee, 5)
    assert (receipt.code, receipt.events) == (Code.NOT_PERMITTED, ())
    assert (money.find(chain.state, payer), money.find(chain.state, payee)) == before
    assert chain.row(accounts.ACCOUNTS, payer).nonce == 1
    written = [write.table for write in chain.executions[-1].writes if write.table != BLOCKS.name]
    assert written == ["accounts.accounts"]
