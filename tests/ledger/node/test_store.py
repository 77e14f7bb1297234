"""The store: one value signed for one place, all of a decision or nothing, and no start on damaged data."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger import records
from ledger.consensus.signing import DoubleSigningError
from ledger.errors import CorruptedError
from ledger.node.chain import Chain
from ledger.node.recovery.memory import DATABASE
from ledger.node.storage.store import Signed, SignedType, Store, StoreError
from ledger.records import FeeRecord, ReceiptRecord
from ledger.runtime import Runtime
from tests.ledger.node.network import make_network

CHAIN = b"chain-id"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / DATABASE


def vote(value: bytes, signature: bytes = b"s", kind: SignedType = SignedType.PREVOTE) -> Signed:
    return Signed(7, 2, kind, value, signature)


def test_a_second_value_for_one_height_round_and_type_is_never_signed(path: Path) -> None:
    store = Store.open(path, CHAIN)
    with store.transaction():
        store.sign(vote(b"one"))
    with pytest.raises(DoubleSigningError, match="second prevote at height 7, round 2"), store.transaction():
        store.sign(vote(b"two"))
    assert [signed.value for signed in store.signed(7)] == [b"one"]


def test_signing_the_same_again_gives_the_stored_signature_also_after_a_restart(path: Path) -> None:
    store = Store.open(path, CHAIN)
    with store.transaction():
        store.sign(vote(b"one", b"first"))
    store.close()
    store = Store.open(path, CHAIN)
    with store.transaction():
        assert store.sign(vote(b"one", b"other")) == b"first"
        assert store.sign(vote(b"two", b"else", SignedType.PRECOMMIT)) == b"else"


def test_a_fee_is_found_among_the_leaves_of_its_block_and_nothing_but_fees_is_decoded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for one that is not there: a block of 10,000 receipts took 0.2 s to look through."""
    salt, orders = bytes(32), [b"order..1", b"order..2"]
    fees = [FeeRecord(b"account.", 1, order, b"meter..1", 7, 5) for order in orders]
    leaves = [(bytes(32), records.leaf(ReceiptRecord(salt, 1, 0, 0, salt), salt), b"not to be decoded", salt)]
    leaves += [(bytes(32), records.leaf(fee, salt), records.encode(fee), salt) for fee in fees]
    store = Store.open(path, CHAIN)
    with store.transaction():
        store._many("INSERT INTO leaves VALUES (?, ?, ?, ?, ?)", ((n, *leaf) for n, leaf in enumerate(leaves)))
    monkeypatch.setattr(store, "header", lambda height: SimpleNamespace(log_size=len(leaves)) if height else None)
    for place, (order, fee) in enumerate(zip(orders, fees, strict=True), 1):
        found = store.fee_leaf(1, order)
        assert found is not None
        assert (found[0], found[1].record) == (place, records.encode(fee))
    assert store.fee_leaf(1, b"another.") is None
    assert store.fee_leaf(2, orders[0]) is None, "block 2 has no leaves"


def test_evidence_waits_on_the_disk_until_it_is_settled(path: Path) -> None:
    store = Store.open(path, CHAIN)
    with store.transaction():
        store.add_evidence(b"one")
        store.add_evidence(b"two")
        store.add_evidence(b"one")
    store.close()
    store = Store.open(path, CHAIN)
    assert store.evidence() == [b"one", b"two"]
    with store.transaction():
        store.delete_evidence([b"one"])
    assert store.evidence() == [b"two"]


def test_a_transaction_that_fails_leaves_nothing_behind(path: Path) -> None:
    store = Store.open(path, CHAIN)
    with pytest.raises(RuntimeError), store.transaction():
        store.add_input(1, b"input")
        raise RuntimeError
    assert store.inputs(1) == []


def test_a_database_of_another_chain_is_refused(path: Path) -> None:
    Store.open(path, CHAIN).close()
    with pytest.raises(StoreError, match="use another data_dir"):
        Store.open(path, b"elsewhere"[:8])


def test_a_newer_schema_is_refused_not_guessed_at(path: Path) -> None:
    store = Store.open(path, CHAIN)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="update it"):
        Store.open(path, CHAIN)


def test_a_file_that_is_no_database_is_refused_with_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"these are not the pages you are looking for" * 1000)
    with pytest.raises(CorruptedError, match="move the data directory away"):
        Store.open(path, CHAIN)


def test_an_altered_state_row_is_noticed_at_start(tmp_path: Path) -> None:
    rules = make_network(tmp_path).genesis
    path = tmp_path / DATABASE
    store = Store.open(path, rules.chain_id)
    Chain.recover(Runtime(rules), store)
    with store.transaction():
        store._run("UPDATE state_rows SET value = x'83010203' WHERE name = 'money.totals'", ())
    with pytest.raises(CorruptedError, match="state root"):
        Chain.recover(Runtime(rules), store)


def test_an_unwritable_directory_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="cannot use the data directory"):
        Store.open(blocked / DATABASE, CHAIN)
