"""What the overview complains of, and that each complaint says what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from gateway.epochs.calendar import Calendar
from gateway.readings.overview import Overview
from gateway.settlement.follower import LedgerFollower, NodeView
from ledger.api.resources import NodeStatus

URL = "http://127.0.0.1:1"


def status(alarm: str | None) -> NodeStatus:
    return NodeStatus(
        bytes(8), "MEA", 1, 7, bytes(32), bytes(32), 0, 0, "propose", 1, 1, 0, 0, alarm, ()
    )  # fmt: skip


def faults_with(node: NodeStatus | None) -> list[str]:
    follower = LedgerFollower([URL], Calendar(5))
    follower.nodes = (NodeView(URL, node),)
    follower.has_polled = True
    well = SimpleNamespace(fault=None)
    parts = SimpleNamespace(follower=follower, reporter=well, courier=well, maker=well)
    return Overview.ledger_faults(cast("Overview", parts))


async def test_a_node_that_signs_no_more_is_named_with_its_alarm() -> None:
    assert faults_with(status("height 8: a step failed; start the node again")) == [
        "ledger node MEA signs no more: height 8: a step failed; start the node again"
    ]
    assert faults_with(status(None)) == []


async def test_silent_nodes_are_told_with_what_to_do() -> None:
    assert faults_with(None) == [
        "no ledger node answers, boundary readings wait here; start a node, or mend ledger.urls"
    ]
