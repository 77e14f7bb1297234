"""What waits for a link: bounded, and what is lost is counted."""

from __future__ import annotations

from ledger.node.network.links import MAX_QUEUED_BYTES, MAX_QUEUED_FRAMES, Outbox
from ledger.node.network.wire import Frame, FrameType


def test_a_full_outbox_drops_the_oldest_and_counts_them() -> None:
    outbox = Outbox()
    for number in range(MAX_QUEUED_FRAMES + 3):
        outbox.put(Frame(FrameType.MESSAGE, number.to_bytes(4, "big")))
    frames = list(outbox.take())
    assert outbox.dropped == 3
    assert frames[0].payload == (3).to_bytes(4, "big")
    assert len(frames) == MAX_QUEUED_FRAMES


def test_an_outbox_is_bounded_in_bytes_too() -> None:
    outbox = Outbox()
    for _ in range(10):
        outbox.put(Frame(FrameType.PROPOSAL, bytes(MAX_QUEUED_BYTES // 4)))
    assert outbox.dropped == 6
