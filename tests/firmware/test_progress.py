"""The watchdog is fed while every part gets on, whatever fails in order, and no longer than that. In virtual time."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from meter import app, ed25519, inbox, start
from meter.board.folder import Directory
from meter.board.linux import Disk
from meter.errors import LineError
from meter.progress import LIMITS_MS
from meter.service import RETRY_FIRST_MS, RETRY_LIMIT_MS, WATCHDOG_S, Service

from ledger.keys import PrivateKey
from tests.firmware.device import METER_ID, configuration
from tests.firmware.virtual_time import (
    START_S,
    FastKey,
    VirtualBoard,
    VirtualBroker,
    VirtualLine,
    VirtualLoop,
    verify_fast,
)

GATEWAY_KEY = PrivateKey(b"\x07" * 32)
HOUR_S = 3600


class Line(VirtualLine):
    """A line that answers, or does what `trouble` does first."""

    def __init__(self, *_: object) -> None:
        self.is_open = True

    trouble: Callable[[], Any] | None = None

    async def read(self, *arguments: int) -> bytes:
        """Answer with zeros."""
        if Line.trouble:
            await Line.trouble()
        return await super().read(*arguments)

    def close(self) -> None:
        """Let go of nothing."""


class Board(VirtualBoard):
    """A board whose network may do what `trouble` does, and whose disk may fail."""

    trouble: Callable[[], Any] | None = None
    disk: Disk

    async def connect(self, *arguments: Any) -> tuple[Any, Any]:
        """Reach the broker, after the trouble."""
        if self.trouble:
            await self.trouble()
        return await super().connect(*arguments)

    def Directory(self, path: str) -> Directory:  # type: ignore[override]  # noqa: N802
        """Return a folder on this board's disk."""
        return Directory(path, self.disk)


class FullDisk(Disk):  # type: ignore[misc]
    """A disk that may be full, or not be readable."""

    fault: int | None = None
    unreadable: str | None = None

    def write(self, file: Any, data: bytes) -> None:
        """Write, if there is room."""
        if self.fault:
            raise OSError(self.fault, "as the test wants it")
        super().write(file, data)

    def read(self, path: str) -> bytes:
        """Read, if the sector is good."""
        self._check(path)
        return super().read(path)

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """Read piece by piece, if the sector is good."""
        self._check(path)
        yield from super().pieces(path, size)

    def _check(self, path: str) -> None:
        if self.unreadable and path.endswith(self.unreadable):
            raise OSError(errno.EIO, "Input/output error")


class Mute:
    """A broker that takes the connection and never says a word."""

    def accept(self) -> tuple[Any, Any]:
        """Return the two ends of a new connection."""
        return asyncio.StreamReader(), self

    def write(self, _data: bytes) -> None:
        """Take it."""

    async def drain(self) -> None:
        """Take it all."""

    def close(self) -> None:
        """End it."""

    async def wait_closed(self) -> None:
        """Be closed."""


class Bench:
    """One meter, as a service, in virtual time."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.board = Board(self.loop)
        self.board.disk = self.disk = FullDisk()
        self.board.network = VirtualBroker(self.loop, METER_ID, GATEWAY_KEY, 0.01)
        self.config = folder / "config.json"
        settings = configuration(epoch_s=900, telemetry_s=60, gateway_keys=[GATEWAY_KEY.public_key.hex()]) | changes
        self.config.write_text(json.dumps(settings))
        self.service = Service(self.board, str(self.config))
        self.running = self.loop.create_task(self.service.run())

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        assert not self.running.done(), self.running

    def is_fed(self, seconds: float) -> bool:
        """Let *seconds* go by; tell whether the watchdog was fed in all of them."""
        begun_s = self.loop.now_s
        self.pass_time(seconds)
        times = [begun_s, *[time_s for time_s in self.board.fed_s if time_s > begun_s], self.loop.now_s]
        return max(after - before for before, after in itertools.pairwise(times)) < WATCHDOG_S

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return all events of one kind."""
        return [event for event in self.board.events if event["event"] == kind]

    def close(self) -> None:
        """End the meter."""
        self.loop.run_until_complete(self.service.finish())
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(1))
        self.loop.close()
        asyncio.set_event_loop(None)


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    """Give a function that makes a meter."""
    monkeypatch.setattr(ed25519, "verify", verify_fast)
    monkeypatch.setattr(start.keystore, "Key", FastKey)
    monkeypatch.setattr(app, "Line", Line)
    monkeypatch.setattr(Line, "trouble", None)
    made: list[Bench] = []

    def make(**changes: Any) -> Bench:
        made.append(Bench(tmp_path, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


async def be_silent() -> None:
    """Do what a meter does that is switched off."""
    await asyncio.sleep(1.6)
    raise LineError("no answer")


async def hang() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


def test_it_is_fed_in_normal_operation_and_through_every_change_of_the_clock(make_bench: MakeBench) -> None:
    bench = make_bench()
    for step_ms in (0, -4000, 3_600_000, -1_795_000_500_000, 0):
        bench.board.set_by_ms = step_ms
        assert bench.is_fed(HOUR_S)
    assert bench.of_kind("receipted")


@pytest.mark.parametrize("epoch_s", [2, 900, 86_400])
def test_a_meter_that_never_answers_is_no_reason_to_restart(make_bench: MakeBench, epoch_s: int) -> None:
    Line.trouble = staticmethod(be_silent)
    bench = make_bench(epoch_s=epoch_s)
    bench.board.set_by_ms = 1000 * (-START_S % 86_400 - 60)  # so that a boundary of each is near
    assert bench.is_fed(2 * HOUR_S)
    assert any("no boundary reading" in event["text"] for event in bench.of_kind("error"))
    assert bench.of_kind("signed") == []


@pytest.mark.parametrize("network", [None, Mute()])
def test_a_broker_that_is_away_or_mute_is_no_reason_to_restart(make_bench: MakeBench, network: Any) -> None:
    bench = make_bench()
    bench.board.network = network
    assert bench.is_fed(2 * HOUR_S)
    assert len(bench.of_kind("signed")) > 120


def test_a_measuring_loop_that_hangs_starves_the_watchdog_however_lively_the_uplink(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.pass_time(600)
    Line.trouble = staticmethod(hang)
    bench.pass_time(60 + (LIMITS_MS["measuring"]) / 1000)
    assert not bench.is_fed(HOUR_S)
    assert [event["text"].partition(":")[0] for event in bench.of_kind("error")] == ["measuring"]
    assert bench.board.fed_s[-1] < 1100
    assert bench.of_kind("status")[-1]["at_s"] > HOUR_S


def test_an_uplink_that_hangs_starves_the_watchdog_although_readings_go_on(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.board.trouble = hang
    bench.pass_time(60 + LIMITS_MS["uplink"] / 1000)
    assert not bench.is_fed(HOUR_S)
    assert [event["text"].partition(":")[0] for event in bench.of_kind("error")] == ["uplink"]
    assert len(bench.of_kind("signed")) > 60


def test_a_fault_of_the_application_leads_to_safe_mode_and_to_new_starts_ever_less_often(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stumble(_self: object) -> None:
        raise ZeroDivisionError("as the test wants it")

    monkeypatch.setattr(app.Application, "_measure", stumble)
    bench = make_bench()
    assert bench.is_fed(6 * HOUR_S)
    starts_s = [event["at_s"] for event in bench.of_kind("started")]
    pauses_s = [after - before for before, after in itertools.pairwise(starts_s)]
    assert pauses_s[0] == pytest.approx(RETRY_FIRST_MS / 1000, abs=3)
    assert pauses_s[-1] == pytest.approx(RETRY_LIMIT_MS / 1000, abs=5)
    assert len(starts_s) < 18
    told = bench.of_kind("safe")
    assert {(event["reason"], event["text"]) for event in told} == {
        ("fault", "ZeroDivisionError: as the test wants it")
    }
    times_s = [event["at_s"] for event in told]
    assert max(after - before for before, after in itertools.pairwise(times_s)) < 40
    assert "in stumble" in capsys.readouterr().err


def test_after_ten_minutes_without_a_fault_the_next_one_counts_as_the_first(make_bench: MakeBench) -> None:
    async def stumble() -> None:
        raise ZeroDivisionError("as the test wants it")

    Line.trouble = staticmethod(stumble)
    bench = make_bench()
    bench.pass_time(HOUR_S)
    Line.trouble = None
    bench.pass_time(2 * HOUR_S)
    bench.loop.now_s += 8 * 24 * HOUR_S  # longer than the ticks of a board can count
    told = len(bench.of_kind("safe"))
    Line.trouble = staticmethod(stumble)
    bench.pass_time(120)
    assert bench.of_kind("safe")[told]["retry_s"] == RETRY_FIRST_MS // 1000


def test_a_configuration_that_was_changed_since_the_start_is_not_taken_for_one_that_works(
    make_bench: MakeBench,
) -> None:
    bench = make_bench()
    good = bench.config.read_bytes()
    bench.pass_time(600)
    bench.config.write_text("{}")
    receipts = len(bench.of_kind("receipted"))
    bench.pass_time(600)
    assert len(bench.of_kind("receipted")) > receipts
    assert bench.config.with_name("config.json.good").read_bytes().startswith(good)


def test_a_full_disk_is_told_after_a_minute_and_the_meter_measures_again_once_there_is_room(
    make_bench: MakeBench,
) -> None:
    bench = make_bench()
    bench.pass_time(600)
    kept = len(bench.of_kind("signed"))
    bench.disk.fault = errno.ENOSPC
    assert bench.is_fed(HOUR_S)
    assert len(bench.of_kind("signed")) == kept
    assert {event["reason"] for event in bench.of_kind("safe")} == {"storage"}
    bench.disk.fault = None
    assert bench.is_fed(2 * HOUR_S)
    assert len(bench.of_kind("signed")) > kept + 15
    assert [event["text"] for event in bench.of_kind("error") if "ignored" in event["text"]] == []


def test_what_was_kept_is_still_sent_while_the_disk_is_full(make_bench: MakeBench) -> None:
    bench = make_bench()
    broker, bench.board.network = bench.board.network, None
    bench.pass_time(600)
    bench.disk.fault = errno.EROFS
    bench.pass_time(200)
    assert bench.of_kind("safe")
    assert not bench.of_kind("receipted")
    bench.board.network = broker
    bench.pass_time(100)
    assert bench.of_kind("receipted")[-1]["sequence"] == bench.of_kind("signed")[-1]["sequence"]


def test_a_journal_that_cannot_be_read_is_told_and_read_again(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.pass_time(600)
    bench.disk.unreadable = "/0000000001.log"
    bench.board.network = VirtualBroker(bench.loop, METER_ID, GATEWAY_KEY, 0.01)
    assert bench.is_fed(600)
    assert "cannot read" in bench.of_kind("safe")[0]["text"]
    bench.disk.unreadable = None
    bench.pass_time(2 * HOUR_S)
    assert bench.of_kind("signed")[-1]["at_s"] > 2 * HOUR_S


def test_a_fault_over_a_message_that_came_in_is_told_like_any_other(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_self: object, _message: bytes) -> None:
        raise ZeroDivisionError("as the test wants it")

    monkeypatch.setattr(inbox.Inbox, "accept", stumble)
    bench = make_bench()
    bench.pass_time(5)
    assert bench.of_kind("safe")[0]["text"] == "ZeroDivisionError: as the test wants it"


def test_a_safe_mode_whose_uplink_hangs_starves_the_watchdog(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.pass_time(600)
    bench.disk.fault = errno.EIO
    bench.pass_time(600)
    bench.board.trouble = hang
    assert not bench.is_fed(8 * HOUR_S)
