"""Servers that lie, fall silent, disagree or want their peace: what the clock makes of it, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from meter import timesync
from meter.progress import Progress
from meter.timekeeper import Timekeeper
from meter.timesync import TimeSync

from hil.resources.time_server import ServedTime, TimeFault
from tests.firmware.virtual_time import START_S, VirtualBoard, VirtualLoop

HOUR_S = 3600
NEVER_SET_MS = -1000 * START_S


class Site:
    """A meter's clock, its board and its servers by name."""

    def __init__(self, loop: VirtualLoop, servers: dict[str, ServedTime], false_by_ms: int = NEVER_SET_MS) -> None:
        self.loop = loop
        self.board = VirtualBoard(loop)
        self.board.set_by_ms = false_by_ms
        self.board.time_servers = servers
        self.keeper = Timekeeper(self.board)
        self.events: list[dict[str, Any]] = []
        self.faults: list[str] = []
        sync = TimeSync(
            self.board, self.keeper, [(name, 123) for name in servers], self.events.append, self.faults.append,
            Progress(self.board),
        )  # fmt: skip
        self.task = loop.create_task(sync.run())

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        assert not self.task.done(), self.task

    def wrong_ms(self) -> int:
        """Return how far the clock is ahead of the truth."""
        return int(self.keeper.now_ms() - 1000 * (START_S + self.loop.now_s))


def three(**changes: int | TimeFault) -> dict[str, ServedTime]:
    """Return three good servers, the first with *changes*."""
    first = ServedTime()
    for name, value in changes.items():
        setattr(first, name, value)
    return {"first": first, "second": ServedTime(3), "third": ServedTime(-2)}


def test_a_clock_that_was_never_set_is_right_at_once_and_so_is_the_boards(loop: VirtualLoop) -> None:
    site = Site(loop, three())
    site.pass_time(1)
    assert abs(site.wrong_ms()) < 10
    assert site.keeper.clock_state()[0]
    assert abs(site.board.set_to_ms[0] - 1000 * START_S) < 1000
    (event,) = site.events
    assert (event["event"], event["synced"], event["servers"]) == ("clock", True, ["first", "second", "third"])
    assert abs(event["stepped_ms"] - 1000 * START_S) < 1000
    assert site.faults == []


def test_a_false_ticker_among_three_is_outvoted_and_named(loop: VirtualLoop) -> None:
    site = Site(loop, three(offset_ms=-3_600_000))
    site.pass_time(2 * HOUR_S)
    assert abs(site.wrong_ms()) < 10
    assert all(event["servers"] == ["second", "third"] for event in site.events)
    assert all("outvoted: first: first " in text for text in site.faults)
    assert len(site.faults) == len(site.events) > 5
    assert " first -36" in site.faults[-1]  # what it says against the meter's clock, in ms


@pytest.mark.parametrize("fault", TimeFault)
def test_a_faulty_server_has_no_say_and_is_named(loop: VirtualLoop, fault: TimeFault) -> None:
    site = Site(loop, three(fault=fault))
    site.pass_time(10)
    assert abs(site.wrong_ms()) < 10
    is_heard = fault is TimeFault.WRONG_NONCE  # its true answer comes behind a false one
    assert ("first" in site.events[0]["servers"]) == is_heard
    assert [text.startswith("time server first: ") for text in site.faults] == ([] if is_heard else [True])


def test_two_that_disagree_leave_a_clock_that_was_never_set_as_it_is(loop: VirtualLoop) -> None:
    site = Site(loop, {"a": ServedTime(), "b": ServedTime(60_000)})
    site.pass_time(10)
    assert site.keeper.own() is None
    assert site.events == []
    assert "do not agree" in site.faults[0]
    site.board.time_servers["b"].offset_ms = 0
    site.pass_time(30)
    assert abs(site.wrong_ms()) < 10


def test_of_two_that_disagree_a_clock_once_led_knows_the_right_one(loop: VirtualLoop) -> None:
    site = Site(loop, {"a": ServedTime(), "b": ServedTime()})
    site.pass_time(HOUR_S)
    site.board.time_servers["a"].offset_ms = 60_000
    site.pass_time(2 * HOUR_S)
    assert abs(site.wrong_ms()) < 10
    assert site.events[-1]["servers"] == ["b"]


@pytest.mark.parametrize(("false_by_ms", "is_led"), [(240_000, True), (-240_000, True), (3_600_000, False)])
def test_one_server_alone_leads_a_set_clock_only_within_its_bounds(
    loop: VirtualLoop, false_by_ms: int, is_led: bool
) -> None:
    site = Site(loop, {"alone": ServedTime()}, false_by_ms)
    site.pass_time(HOUR_S)
    assert site.keeper.is_led == is_led
    assert abs(site.wrong_ms() - (0 if is_led else false_by_ms)) < 10
    assert site.keeper.clock_state()[0] == is_led


def test_two_witnesses_set_a_board_right_that_is_an_hour_off(loop: VirtualLoop) -> None:
    site = Site(loop, {"a": ServedTime(), "b": ServedTime()}, 3_600_000)
    site.pass_time(1)
    assert abs(site.wrong_ms()) < 10
    assert site.events[0]["stepped_ms"] == pytest.approx(-3_600_000, abs=20)


def test_one_server_alone_that_jumps_drags_no_led_clock_along(loop: VirtualLoop) -> None:
    site = Site(loop, {"alone": ServedTime()})
    site.pass_time(HOUR_S)
    site.board.time_servers["alone"].offset_ms = 5000
    site.pass_time(HOUR_S)
    assert abs(site.wrong_ms()) < 10
    assert "do not agree" in site.faults[-1]
    assert "alone +50" in site.faults[-1] or "alone +49" in site.faults[-1]


def test_polls_grow_to_seventeen_minutes_and_a_dead_network_is_asked_ever_less(loop: VirtualLoop) -> None:
    server = ServedTime()
    site = Site(loop, {"a": server})
    site.pass_time(24 * HOUR_S)
    assert 86_400 / timesync.POLL_LIMIT_S < server.asked < 86_400 / timesync.POLL_LIMIT_S / 0.75 + 8
    server.fault, server.asked = TimeFault.DROP, 0
    site.pass_time(24 * HOUR_S)
    assert server.asked < 86_400 / timesync.RETRY_LIMIT_S / 0.75 + 8


def test_no_two_questions_to_a_server_are_less_than_fifteen_seconds_apart(loop: VirtualLoop) -> None:
    server = ServedTime(fault=TimeFault.SHORT)
    site = Site(loop, {"a": server})
    for _ in range(60):
        before = server.asked
        site.pass_time(14.9)
        assert server.asked - before <= 1


@pytest.mark.parametrize(("fault", "most"), [(TimeFault.RATE, 6), (TimeFault.DENY, 1)])
def test_who_asks_to_be_left_alone_is(loop: VirtualLoop, fault: TimeFault, most: int) -> None:
    servers = three(fault=fault)
    site = Site(loop, servers)
    site.pass_time(23 * HOUR_S)
    assert 1 <= servers["first"].asked <= most
    assert servers["second"].asked > 60
    assert abs(site.wrong_ms()) < 10
    assert len(site.faults) == servers["first"].asked


def test_the_rate_of_the_boards_crystal_is_learnt_and_a_day_without_servers_costs_little(loop: VirtualLoop) -> None:
    site = Site(loop, three())
    site.board.crystal_ppb = 40_000
    site.pass_time(8 * HOUR_S)
    assert abs(site.keeper.rate_ppb - 40_000) < 1000
    for server in site.board.time_servers.values():
        server.fault = TimeFault.DROP
    site.pass_time(24 * HOUR_S)
    assert abs(site.wrong_ms()) < 100
    assert site.keeper.error_ms() < 500 + 100
    said = [event["synced"] for event in site.events]
    site.pass_time(6 * HOUR_S)
    assert site.keeper.clock_state() == (False, site.keeper.error_ms())
    assert said[-1]
    assert [event["synced"] for event in site.events[len(said) :]] == [False]


def test_servers_come_back_after_an_outage_without_a_step(loop: VirtualLoop) -> None:
    site = Site(loop, three())
    site.board.crystal_ppb = -30_000
    site.pass_time(8 * HOUR_S)
    for server in site.board.time_servers.values():
        server.fault = TimeFault.DROP
    site.pass_time(30 * HOUR_S)
    for server in site.board.time_servers.values():
        server.fault = None
    site.pass_time(HOUR_S)
    assert site.events[-1]["synced"]
    assert [event["stepped_ms"] for event in site.events[1:]] == [0] * (len(site.events) - 1)
