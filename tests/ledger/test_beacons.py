"""The bracket of a boundary reading: the block in its beacon bounds its time from below, or shows that it is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.codes import Code
from ledger.modules import anchors
from ledger.modules.anchors import BLOCKS
from ledger.reading import Beacon
from ledger.records import LineFlag
from tests.ledger.chain_kit import START_EPOCH, Chain, lines_of, make_chain
from tests.ledger.reached_by_anchors import make_anchors, submit
from tests.ledger.reached_by_readings import beacon_of

E = START_EPOCH + 1


@pytest.fixture
def chain() -> Chain:
    """Return a chain whose gateway has two anchors, and whose one meter reports next for epoch E."""
    chain = make_chain()
    chain.add_based_meter("user0", 0)
    chain.block()
    assert submit(chain, *make_anchors(chain, 2)) == [Code.DONE] * 2
    return chain


def flags_of(chain: Chain, beacon: Beacon | None) -> LineFlag:
    """Report a reading that carries *beacon* and return the flags of its line."""
    chain.to_epoch(E)
    assert chain.report(chain.meters[0].boundary(E, 7, 0, beacon=beacon)) == [Code.DONE]
    (line,) = lines_of(chain.executions[-1])
    return LineFlag(line.flags)


def with_anchor(chain: Chain, number: int = 2) -> Beacon:
    """Return a beacon of the newest block and the gateway's second anchor, under *number*."""
    head = anchors.newest(chain.state, chain.people["gateway"].id)
    return replace(beacon_of(chain), anchor=number, anchor_time=head.time, anchor_hash_head=head.hash[:8])


def test_a_reading_with_a_block_and_an_anchor_of_the_chain_is_like_any_other(chain: Chain) -> None:
    assert flags_of(chain, with_anchor(chain)) == LineFlag(0)


def test_a_reading_without_a_beacon_or_with_one_of_an_outage_is_like_any_other(chain: Chain) -> None:
    alone = replace(with_anchor(chain), height=0, block_time=0, block_id_head=bytes(8))
    assert flags_of(chain, alone) == LineFlag(0)


def test_an_anchor_that_has_not_reached_the_ledger_yet_proves_nothing_against_a_reading(chain: Chain) -> None:
    unknown = replace(beacon_of(chain), anchor=3, anchor_time=START_EPOCH * 900, anchor_hash_head=b"unknown!")
    assert flags_of(chain, unknown) == LineFlag(0)


@pytest.mark.parametrize("change", [
    {"block_id_head": b"no block"}, {"block_time": 1}, {"height": 1}, {"height": 10**6}, {"anchor": 1},
    {"anchor_time": 1},
])  # fmt: skip
def test_a_block_or_an_anchor_that_the_chain_has_not_or_has_otherwise_is_flagged(chain: Chain, change: dict) -> None:
    """The reading counts all the same: a false beacon comes of a gateway's key, and must cost no one an interval."""
    assert flags_of(chain, replace(with_anchor(chain), **change)) == LineFlag.FALSE_BEACON


def test_a_block_that_is_forgotten_proves_nothing_and_the_state_remembers_so_many_alone(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = replace(beacon_of(chain), block_id_head=b"no block")
    monkeypatch.setattr("ledger.modules.anchors.KEPT_BLOCKS", len(chain.blocks))
    kept = len(chain.state.keys(BLOCKS.name))
    for _ in range(kept + 3):
        chain.block()
    assert len(chain.state.keys(BLOCKS.name)) == kept
    assert flags_of(chain, old) == LineFlag(0)


def test_every_block_is_remembered_with_its_id_once_the_next_one_names_it(chain: Chain) -> None:
    rows = list(chain.state.scan(BLOCKS))
    assert [int.from_bytes(key, "big") for key, _ in rows] == [block.header.height for block in chain.blocks]
    assert [row.time_ms for _, row in rows] == [block.header.time_ms for block in chain.blocks]
    assert [row.id for _, row in rows] == [*(block.id for block in chain.blocks[:-1]), b""]
