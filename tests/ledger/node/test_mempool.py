"""The mempool: bounded, in the order of nonces, and empty of what can never be included."""

from __future__ import annotations

import pytest

from ledger import keys, transaction
from ledger.node import mempool
from ledger.node.mempool import Mempool, PoolCode
from ledger.transaction import Call, Transaction

KEY = keys.PrivateKey(bytes(32))
ALICE, BOB = b"alice---", b"bob-----"


def make(nonce: int, sender: bytes = ALICE, until: int = 100, amount: int = 1) -> Transaction:
    call = Call("money", "transfer", (BOB, amount))
    return transaction.decode(transaction.sign(b"chain-id", sender, nonce, until, call, KEY))


def test_a_senders_transactions_leave_in_the_order_of_their_nonces_however_they_came() -> None:
    pool = Mempool()
    items = [make(nonce) for nonce in range(4)]
    for item in (items[2], items[0], items[3], items[1]):
        assert pool.add(item, 0) is None
    assert pool.ready(10, 10**6) == tuple(item.raw for item in items)


def test_nothing_leaves_behind_a_gap_of_nonces_and_the_next_free_nonce_is_before_it() -> None:
    pool = Mempool()
    for nonce in (5, 6, 8):
        assert pool.add(make(nonce), 5) is None
    assert len(pool.ready(10, 10**6)) == 2
    assert pool.next_nonce(ALICE, 5) == 7


def test_first_come_is_first_served_across_senders() -> None:
    pool = Mempool()
    items = [make(0, BOB), make(0, ALICE), make(1, BOB)]
    for item in items:
        pool.add(item, 0)
    assert pool.ready(10, 10**6) == tuple(item.raw for item in items)
    assert pool.ready(2, 10**6) == tuple(item.raw for item in items[:2])
    assert pool.ready(10, len(items[0].raw)) == (items[0].raw,)


def test_the_same_transaction_twice_is_one_and_another_with_its_nonce_is_refused() -> None:
    pool = Mempool()
    assert pool.add(make(0), 0) is None
    assert pool.add(make(0), 0) is None
    assert len(pool) == 1
    refusal = pool.add(make(0, amount=2), 0)
    assert refusal is not None
    assert refusal.code is PoolCode.NONCE_TAKEN


def test_a_sender_cannot_fill_the_pool_with_far_nonces() -> None:
    pool = Mempool()
    refusal = pool.add(make(mempool.MAX_NONCES_AHEAD), 0)
    assert refusal is not None
    assert refusal.code is PoolCode.NONCE_TOO_FAR


def test_a_full_pool_refuses_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_TRANSACTIONS", 2)
    pool = Mempool()
    pool.add(make(0), 0)
    pool.add(make(1), 0)
    refusal = pool.add(make(2), 0)
    assert refusal is not None
    assert refusal.code is PoolCode.FULL


def test_what_was_included_or_expired_is_forgotten_after_a_block() -> None:
    pool = Mempool()
    for item in (make(0), make(1), make(0, BOB, until=9)):
        pool.add(item, 0)
    pool.settle({ALICE: 1, BOB: 0}, 9)
    assert pool.ready(10, 10**6) == (make(1).raw,)
    assert pool.senders() == [ALICE]
    assert make(0, BOB, until=9).id not in pool
    pool.settle({ALICE: 2}, 10)
    assert len(pool) == 0
    assert not pool.has_ready()


def test_a_sender_that_came_while_a_block_was_settled_keeps_its_place() -> None:
    pool = Mempool()
    pool.add(make(0), 0)
    known = dict.fromkeys(pool.senders(), 1)
    pool.add(make(7, BOB), 7)
    pool.settle(known, 3)
    assert pool.senders() == [BOB]
    assert pool.next_nonce(BOB, 7) == 8
