"""A sample of the campaign against a whole node."""

from __future__ import annotations

from pathlib import Path

from ledger.node.network.wire import FrameType
from tests.ledger.node.hostile_node import attack_node


async def test_hostile_frames_and_requests_leave_a_node_working(tmp_path: Path) -> None:
    violations, counts = await attack_node(tmp_path, 0, 1_000)
    assert violations == []
    handled = set(FrameType) - {FrameType.HELLO, FrameType.ADDRESS}
    assert {f"frame.{kind.name.lower()}" for kind in handled} <= counts.keys()
    assert counts["answer.200"] > 0
    assert counts["answer.400"] + counts["answer.404"] + counts["answer.422"] > 20
