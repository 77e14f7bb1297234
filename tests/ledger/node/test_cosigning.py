"""Cosigning: exactly a quorum, in set order, over the newest checkpoint, whenever the cosignatures come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger import block, keys
from ledger.authority import Authority, AuthoritySet
from ledger.block import Header
from ledger.checkpoint import Checkpoint
from ledger.node.network.wire import CosignatureReport
from ledger.node.signers.cosigning import Cosigning, decode_provable

KEYS = [keys.PrivateKey(bytes([place]) * 32) for place in range(4)]
SET = AuthoritySet(
    tuple(
        Authority(bytes([place]) * 8, f"A{place}", bytes([place]) * 32, KEYS[place].public_key, bytes([place + 9]) * 32)
        for place in range(4)
    )
)
HEADER = Header(
    1, b"chain-id", 1, 1, bytes(32), 0, bytes(32), bytes(32), bytes(32), bytes(32), 5, b"r" * 32, bytes(32), bytes(32)
)
NEXT = replace(HEADER, height=2, log_size=9, log_root=b"s" * 32)


@pytest.fixture
def cosigning() -> Cosigning:
    made = Cosigning("origin", SET, Checkpoint("origin", 0, block.NO_HASH))
    made.start(HEADER, SET)
    return made


def report(cosigning: Cosigning, authority: int, header: Header = HEADER) -> CosignatureReport:
    signed = cosigning.sign(header, f"A{authority}", KEYS[authority], 1_700_000_000)
    return CosignatureReport(header.log_size, authority, signed.message)


def test_a_quorum_makes_a_checkpoint_provable_with_its_lines_in_set_order(cosigning: Cosigning) -> None:
    for authority in (3, 0):
        cosigning.receive(report(cosigning, authority))
    assert cosigning.provable_size == 0
    cosigning.receive(report(cosigning, 1))
    assert cosigning.provable is not None
    assert [line.name for line in cosigning.provable.lines] == ["origin/A0", "origin/A1", "origin/A3"]
    assert decode_provable(cosigning.provable.encode()) == cosigning.provable
    before = cosigning.provable
    cosigning.receive(report(cosigning, 2))
    assert cosigning.provable == before, "a further cosignature adds nothing"


def test_bad_and_repeated_cosignatures_do_not_count(cosigning: Cosigning) -> None:
    good = report(cosigning, 0)
    for bad in (
        CosignatureReport(5, 1, good.data),
        CosignatureReport(5, 9, good.data),
        CosignatureReport(5, 1, b""),
        report(cosigning, 2, replace(HEADER, log_root=b"x" * 32)),
    ):
        cosigning.receive(bad)
    for _ in range(5):
        cosigning.receive(good)
    assert cosigning.reports() == [good]


def test_a_cosignature_that_comes_before_the_block_is_counted_with_it(cosigning: Cosigning) -> None:
    for authority in (0, 1, 2):
        cosigning.receive(report(cosigning, authority, NEXT))
    assert cosigning.provable is None
    cosigning.start(NEXT, SET)
    assert cosigning.provable_size == 9


def test_a_later_checkpoint_replaces_one_that_never_got_its_quorum(cosigning: Cosigning) -> None:
    cosigning.receive(report(cosigning, 0))
    cosigning.start(NEXT, SET)
    for authority in (1, 2, 3):
        cosigning.receive(report(cosigning, authority))
    assert cosigning.provable is None, "cosignatures over the old checkpoint are worth nothing now"
    assert cosigning.reports() == []
