"""Anchors: each gateway has one chain of them on the ledger, and a reading's path leads to its anchor alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from random import Random

import pytest

from ledger import anchor, cbor, merkle
from ledger.anchor import MAX_READINGS, NO_ANCHOR, Anchor, Point
from ledger.codes import Code
from ledger.errors import MalformedError
from ledger.modules import anchors
from ledger.modules.anchors import LATE_S
from tests.ledger.chain_kit import Chain, Person, id_of, key_of, make_chain
from tests.ledger.reached_by_anchors import anchor_codes, make_anchors, submit


@pytest.fixture
def chain() -> Chain:
    return make_chain()


def test_an_anchor_comes_out_as_it_went_in_and_its_hash_covers_every_field() -> None:
    made = Anchor(id_of(3), 7, 1_795_000_000, 2, bytes(range(32)), b"p" * 32)
    assert anchor.decode(made.encode()) == made
    assert made.hash == hashlib.sha256(made.encode()).digest()
    others = [
        replace(made, **{name: value})  # type: ignore[arg-type]
        for name, value in {
            "gateway": id_of(4), "number": 8, "time": 1, "count": 3, "root": bytes(32), "previous": bytes(32),
        }.items()
    ]  # fmt: skip
    assert len({made.hash, *(one.hash for one in others)}) == 7


@pytest.mark.parametrize("change", [
    {"gateway": b"short"}, {"number": 0}, {"number": 2**32}, {"time": -1}, {"time": 2**32}, {"count": -1},
    {"count": MAX_READINGS + 1}, {"count": 0}, {"root": merkle.EMPTY_ROOT}, {"root": b""}, {"previous": bytes(31)},
    {"number": "7"}, {"count": None}, {"root": 5},
])  # fmt: skip
def test_what_is_no_anchor_is_refused(change: dict) -> None:
    made = Anchor(id_of(3), 7, 1_795_000_000, 2, bytes(range(32)), b"p" * 32)
    with pytest.raises(MalformedError):
        anchor.decode(replace(made, **change).encode())


def test_other_bytes_are_no_anchor_either() -> None:
    good = cbor.decode(Anchor(id_of(3), 7, 1_795_000_000, 2, bytes(range(32)), b"p" * 32).encode())
    for values in ([], good[:-1], [*good, 1], ["campusgrid anchor 2", *good[1:]], "text"):
        with pytest.raises(MalformedError):
            anchor.decode(cbor.encode(values))
    with pytest.raises(MalformedError):
        anchor.decode(bytes(anchor.MAX_ANCHOR_BYTES + 1))


def test_a_reading_leads_to_its_own_anchor_at_its_own_place_alone() -> None:
    random = Random(5)
    for count in (1, 2, 3, 7, 64, 100):
        hashes = [random.randbytes(32) for _ in range(count)]
        made = anchor.follow(id_of(3), Point(), 5, hashes)
        leaves = [merkle.leaf_hash(one) for one in hashes]
        for index in {0, count // 2, count - 1}:
            path = merkle.inclusion_path(index, count, merkle.hashes_over(leaves))
            assert anchor.covers(made, hashes[index], index, path)
            assert not anchor.covers(made, random.randbytes(32), index, path)
            assert not anchor.covers(made, hashes[index], index + 1, path)
            assert not anchor.covers(replace(made, root=random.randbytes(32)), hashes[index], index, path)


def test_an_anchor_of_a_minute_without_readings_covers_nothing_and_goes_on_with_the_chain(chain: Chain) -> None:
    first, second = make_anchors(chain, 2, readings=0)
    assert first.root == merkle.EMPTY_ROOT
    assert submit(chain, first, second) == [Code.DONE] * 2
    assert not anchor.covers(first, merkle.EMPTY_ROOT, 0, ())


def test_the_next_anchor_is_later_than_the_one_before_whatever_the_clock_says() -> None:
    made = anchor.follow(id_of(3), Point(4, 1000, b"h" * 32), 900, [])
    assert (made.number, made.time, made.previous) == (5, 1001, b"h" * 32)


def test_gateways_have_chains_of_their_own_and_the_ledger_says_where_each_stands(chain: Chain) -> None:
    chain.people["second"] = Person(id_of(80), key_of(80))
    chain.must("admin", "registry", "register_gateway", id_of(80), key_of(80).public_key)
    own, others = make_anchors(chain, 3), make_anchors(chain, 2, who="second")
    assert submit(chain, *own) == [Code.DONE] * 3
    receipt = chain.must("second", "anchors", "submit_anchors", [one.encode() for one in (*own[:1], *others)])
    assert anchor_codes(receipt) == [Code.ANCHOR_OF_ANOTHER, Code.DONE, Code.DONE]
    assert anchors.newest(chain.state, id_of(3)) == Point(3, own[2].time, own[2].hash)
    assert anchors.newest(chain.state, id_of(80)) == Point(2, others[1].time, others[1].hash)
    assert anchors.newest(chain.state, id_of(81)) == Point(0, 0, NO_ANCHOR)


def test_only_a_registered_gateway_has_anchors(chain: Chain) -> None:
    for who in ("admin", "authority", "grid", "user0"):
        made = make_anchors(chain, 1, who=who)[0]
        assert chain.run(who, "anchors", "submit_anchors", [made.encode()]).code is Code.NOT_PERMITTED


def test_after_an_outage_anchors_come_in_order_and_the_late_ones_are_marked(chain: Chain) -> None:
    made = make_anchors(chain, 4)
    start = made[0].time
    late = [replace(made[0], time=start - LATE_S)]
    late += [replace(made[1], time=start, previous=late[0].hash)]
    receipt = chain.must("gateway", "anchors", "submit_anchors", [one.encode() for one in late])
    assert [dict(event.values)["late"] for event in receipt.events] == [True, False]
    assert anchor_codes(receipt) == [Code.DONE] * 2


def test_the_state_keeps_a_bounded_number_of_anchors_each_found_by_the_head_of_its_hash(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.modules.anchors.KEPT", 3)
    made = make_anchors(chain, 8)
    assert submit(chain, *made[:5]) == [Code.DONE] * 5
    assert submit(chain, *made[5:]) == [Code.DONE] * 3
    assert [len(chain.state.keys(table.name)) for table in (anchors.ANCHORS, anchors.PLACES)] == [3, 3]
    for number, one in enumerate(made, start=1):
        found = anchors.find(chain.state, one.hash[:8])
        assert found is None if number <= 5 else found is not None and found[0] == number
        if found is not None:
            assert (found[1].time_s, found[1].hash) == (one.time, one.hash)
    assert anchors.find(chain.state, bytes(8)) is None


def test_a_receipt_proves_an_anchor_for_ever(chain: Chain) -> None:
    """Its hash is in the events that the log's leaf commits to, so no state is needed for it."""
    (made,) = make_anchors(chain, 1)
    receipt = chain.must("gateway", "anchors", "submit_anchors", [made.encode()])
    events = [event.fields() for event in receipt.events]
    assert dict(receipt.events[0].values)["hash"] == made.hash
    assert receipt.record.effects_hash == hashlib.sha256(cbor.encode(events)).digest()
