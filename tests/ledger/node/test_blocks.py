"""The blocks of the height in progress: bounded, and one that is not what it was sent as is asked for again."""

from __future__ import annotations

from ledger.node.blocks import MAX_OFFERED_BLOCKS, Blocks

FIRST, SECOND = b"1" * 32, b"2" * 32


def test_a_block_that_has_not_come_yet_is_wanted() -> None:
    blocks = Blocks()
    blocks.start(5)
    assert blocks.want(FIRST) is None
    assert blocks.wanted == {FIRST}
    blocks.offer(5, SECOND, b"body")
    assert blocks.want(SECOND) == b"body"


def test_bytes_that_are_not_the_block_make_way_for_the_block() -> None:
    blocks = Blocks()
    blocks.start(5)
    blocks.offer(5, FIRST, b"bogus")
    blocks.offer(5, FIRST, b"too late")
    assert blocks.want(FIRST) == b"bogus"
    blocks.reject(FIRST)
    assert blocks.wanted == {FIRST}
    blocks.offer(5, FIRST, b"the block")
    assert blocks.want(FIRST) == b"the block"


def test_a_proposal_that_comes_a_height_early_is_kept_and_others_are_not() -> None:
    blocks = Blocks()
    blocks.start(5)
    for height in (4, 6, 7):
        blocks.offer(height, bytes([height]) * 32, b"body")
    blocks.start(6)
    assert blocks.body(bytes([6]) * 32) == b"body"
    assert blocks.body(bytes([4]) * 32) is None
    assert blocks.body(bytes([7]) * 32) is None
    blocks.start(7)
    assert blocks.body(bytes([6]) * 32) is None


def test_what_nobody_asked_for_is_bounded() -> None:
    blocks = Blocks()
    blocks.start(1)
    for number in range(10 * MAX_OFFERED_BLOCKS):
        blocks.offer(1, number.to_bytes(32, "big"), b"body")
    kept = [number for number in range(10 * MAX_OFFERED_BLOCKS) if blocks.body(number.to_bytes(32, "big"))]
    assert len(kept) == MAX_OFFERED_BLOCKS
    assert kept[-1] == 10 * MAX_OFFERED_BLOCKS - 1
