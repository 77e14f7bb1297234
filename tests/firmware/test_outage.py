"""A day without a network, in virtual time: everything arrives afterwards, each reading once, boundaries at once."""

from __future__ import annotations

import pytest
from meter import journal, segments

from ledger.reading import ClockQuality, Reason
from tests.firmware.conftest import Tell
from tests.firmware.virtual_bench import Bench
from tests.firmware.virtual_time import VirtualLoop

HOUR_S = 3600


def test_a_day_of_outage_drains_whole_each_reading_once_and_delays_no_boundary(loop: VirtualLoop, tell: Tell) -> None:
    bench = Bench(loop)
    bench.pass_time(24 * HOUR_S)
    taken = bench.journal.signed
    assert taken >= 24 * 60 + 96
    bench.board.network = bench.broker
    connected_s = loop.now_s
    took_s = bench.pass_until_receipted(2 * HOUR_S)
    assert took_s > 900  # so that a boundary fell into the draining
    readings = bench.broker.readings
    assert sorted(readings) == list(range(1, bench.journal.sequence + 1))
    assert set(bench.broker.deliveries.values()) == {1}
    during = [
        reading for reading in readings.values() if reading.reason is Reason.BOUNDARY and reading.epoch is not None
        and reading.epoch * 900 > 1_795_000_500 + connected_s + 60
    ]  # fmt: skip
    signed_s = {event["sequence"]: event["at_s"] for event in bench.board.events if event["event"] == "signed"}
    assert during
    assert all(bench.broker.arrived_s[reading.sequence] - signed_s[reading.sequence] < 1 for reading in during)
    tell(f"24 h without a network: {taken} readings waited; they and {len(readings) - taken} new ones arrived in "
         f"{took_s / 60:.0f} min, each once")  # fmt: skip
    bench.end()


def test_a_journal_that_had_to_be_thinned_drains_past_every_gap(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(journal, "THIN_SEGMENTS", 30)
    bench = Bench(loop, pace_s=0.01)
    bench.pass_time(24 * HOUR_S)
    assert any(event["event"] == "thinned" for event in bench.board.events)
    assert bench.journal.segments < 35
    bench.board.network = bench.broker
    bench.pass_until_receipted(HOUR_S)
    epochs = [reading.epoch for reading in bench.broker.readings.values() if reading.reason is Reason.BOUNDARY]
    assert len(epochs) >= 96
    bench.end()


def pass_until_said(bench: Bench, text: str) -> None:
    """Let time go by until the meter complains of *text*."""
    for _ in range(900):
        if any(event["event"] == "error" and text in event["text"] for event in bench.board.events):
            return
        bench.pass_time(0.1)
    pytest.fail(f"never said: {text}")


def test_readings_lost_while_the_meter_runs_are_told_without_a_restart_as_soon_as_the_disk_takes_it(
    loop: VirtualLoop,
) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.pass_time(500)
    (path,) = [path for path in bench.disk.files if path.startswith("log/")]
    node = bench.disk.files[path]
    middle = len(node.content) // 2
    node.content = node.content[:middle] + bytes([node.content[middle] ^ 1]) + node.content[middle + 1 :]
    bench.disk.full = True
    pass_until_said(bench, "periodic reading not kept")  # for which the file is looked through before the next one
    bench.disk.full = False
    signed = bench.journal.sequence
    while bench.journal.sequence == signed:
        bench.pass_time(0.1)
    bench.disk.full = True
    pass_until_said(bench, "the loss of readings is not told yet")
    bench.disk.full = False
    bench.board.network = bench.broker
    bench.pass_time(120)
    bench.pass_until_receipted(60)
    (told,) = [one.thinned for one in bench.broker.readings.values() if one.thinned]
    assert told.first == told.last
    assert told.first not in bench.broker.readings
    bench.end()


def test_before_the_first_sync_readings_are_kept_and_marked_and_no_step_repeats_a_boundary(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.board.set_by_ms, bench.board.is_synced = -1_795_000_500_000, False  # never set: it counts from 1970
    bench.pass_time(1000)
    bench.board.set_by_ms = 5000
    bench.pass_time(1000)
    bench.board.is_synced = True
    for step_ms in (0, -4000, 3_600_000, -3_600_000, 0):
        bench.board.set_by_ms = step_ms
        bench.pass_time(1000)
    bench.board.network = bench.broker
    bench.pass_until_receipted(HOUR_S)
    taken = [reading for _, reading in sorted(bench.broker.readings.items())]
    assert len(taken) == bench.journal.signed
    qualities = [reading.clock_quality for reading in taken]
    assert qualities == sorted(qualities, key=[ClockQuality.UNSET, ClockQuality.HOLDOVER, ClockQuality.SYNCED].index)
    assert set(qualities) == set(ClockQuality)
    assert all(
        reading.clock_offset_ms == (3 if reading.clock_quality is not ClockQuality.UNSET else 0) for reading in taken
    )
    epochs = [reading.epoch for reading in taken if reading.epoch is not None]
    assert epochs == sorted(set(epochs))
    assert all(reading.clock_quality is not ClockQuality.UNSET for reading in taken if reading.epoch is not None)
    bench.end()
