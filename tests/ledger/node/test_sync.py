"""Catching up: asked for in windows, of those who have it, and not again of those who lied."""

from __future__ import annotations

from ledger.block import Commit
from ledger.node.network.sync import DISTRUST_S, REQUEST_TIMEOUT_S, WINDOW_BLOCKS, BlockRange, DecidedBlock, Sync


def block_of(peer: str, height: int) -> DecidedBlock:
    return DecidedBlock(peer, b"body", Commit(height, 0, bytes(32), ()))


def test_a_node_that_is_behind_asks_one_peer_for_a_window_and_waits_for_it() -> None:
    sync = Sync()
    sync.note("MEA", 500)
    assert sync.next_request(10, 0.0) == ("MEA", BlockRange(10, WINDOW_BLOCKS))
    assert sync.next_request(10, REQUEST_TIMEOUT_S / 2) is None


def test_nobody_is_asked_when_nobody_is_ahead() -> None:
    sync = Sync()
    sync.note("MEA", 11)
    sync.note("PEA", 10)
    assert sync.next_request(10, 0.0) is None


def test_a_peer_that_does_not_answer_is_followed_by_another() -> None:
    sync = Sync()
    for name in ("ERC", "MEA", "PEA"):
        sync.note(name, 100)
    asked = {sync.next_request(10, second * 2 * REQUEST_TIMEOUT_S)[0] for second in range(3)}  # type: ignore[index]
    assert asked == {"ERC", "MEA", "PEA"}


def test_what_came_is_used_in_order_and_only_the_rest_is_asked_for() -> None:
    sync = Sync()
    sync.note("MEA", 13)
    assert sync.next_request(10, 0.0) == ("MEA", BlockRange(10, 3))
    for height in (11, 10):
        sync.receive(block_of("MEA", height), 10)
    assert sync.take(10) == block_of("MEA", 10)
    assert sync.take(11) == block_of("MEA", 11)
    assert sync.take(12) is None
    assert sync.next_request(12, 1.0) is None, "one block behind is left to the consensus core"


def test_unasked_blocks_beyond_the_height_in_progress_are_not_kept() -> None:
    sync = Sync()
    for height in range(11, 11 + 10 * WINDOW_BLOCKS):
        sync.receive(block_of("EGAT", height), 10)
    assert all(sync.take(height) is None for height in range(11, 11 + WINDOW_BLOCKS))


def test_a_liar_is_left_alone_and_what_it_sent_is_forgotten() -> None:
    sync = Sync()
    sync.note("MEA", 100)
    sync.next_request(10, 0.0)
    sync.receive(block_of("MEA", 11), 10)
    sync.distrust("MEA", 0.0)
    assert sync.take(11) is None
    assert sync.next_request(10, REQUEST_TIMEOUT_S + 1) is None
    assert sync.next_request(10, DISTRUST_S + 1) is not None
