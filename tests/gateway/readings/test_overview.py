"""What the overview complains of, and that each complaint says what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from gateway.access.roles import Access, Role
from gateway.epochs.calendar import Calendar
from gateway.epochs.intervals import Boundary
from gateway.readings.overview import MeterView, Overview, show_to
from gateway.roster import FormerOwner, Meter
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


@pytest.mark.parametrize(
    ("time", "power_time", "mark", "shown"),
    [
        (99, 99, 9, (None, None, None)),
        (100, 99, 9, (5, None, None)),
        (105, 100, 9, (5, 7, None)),
        (105, 105, 10, (5, 7, 10)),
    ],
)
def test_a_new_owner_sees_of_the_newest_reading_what_was_measured_in_the_own_time(
    time: int, power_time: int, mark: int, shown: tuple[int | None, int | None, int | None]
) -> None:
    """The meter is theirs since second 100; epochs have 10 s."""
    meter = Meter(bytes(8), bytes(32), "p", 1, False, b"new-ownr", "", former_owners=(FormerOwner(b"old-ownr", 100),))
    view = MeterView(meter, 5, 4, time, 0, 1000, 0, 7, power_time, Boundary(bytes(8), mark, 900, 0))
    tenants = [Access("t", Role.TENANT, account) for account in (b"new-ownr", b"old-ownr")]
    ((seen,), nothing) = (show_to(tenant, [view], 10) for tenant in tenants)
    assert (seen.sequence, seen.power_w, seen.watermark and seen.watermark.epoch) == shown
    assert (seen.estimate is None) == (shown[2] is None)
    assert nothing == ()
    assert show_to(Access("olga", Role.OPERATOR), [view], 10) == (view,)
