"""The whole meter, led by time servers: whatever they do to its clock, no reading is lost and no boundary repeated."""

from __future__ import annotations

import time
from pathlib import Path

from hil.resources.time_server import ServedTime, TimeFault, TimeServer
from ledger.keys import PrivateKey
from ledger.reading import ClockQuality, Reading
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import Device
from tests.firmware.gateway import Gateway
from tests.firmware.virtual_bench import Bench
from tests.firmware.virtual_time import START_S, VirtualLoop

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EPOCH_S = 3
NAMES = ["a", "b", "c"]


def serve(bench: Bench, offset_ms: int = 0, fault: TimeFault | None = None) -> None:
    """Let all servers of *bench* serve this time from now on."""
    bench.board.time_servers = {name: ServedTime(offset_ms, fault=fault) for name in NAMES}


def drain(bench: Bench) -> list[Reading]:
    """Let everything be receipted; return all readings in the order in which they were signed."""
    bench.board.network = bench.broker
    bench.pass_until_receipted(3600)
    taken = [reading for _, reading in sorted(bench.broker.readings.items())]
    assert len(taken) == bench.journal.signed
    return taken


def test_readings_before_the_first_agreement_are_kept_and_marked_and_boundaries_wait_for_it(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01, set_by_ms=-1000 * START_S, time_servers=NAMES)
    serve(bench, fault=TimeFault.UNSYNCHRONISED)
    bench.pass_time(2000)
    serve(bench)
    bench.pass_time(3000)
    taken = drain(bench)
    qualities = [reading.clock_quality for reading in taken]
    unset = qualities.count(ClockQuality.UNSET)
    assert unset >= 2000 / 60
    assert qualities == [ClockQuality.UNSET] * unset + [ClockQuality.SYNCED] * (len(taken) - unset)
    assert all(reading.time < 3000 and reading.epoch is None for reading in taken[:unset])
    assert all(abs(reading.time - START_S) < 10_000 for reading in taken[unset:])
    epochs = [reading.epoch for reading in taken if reading.epoch is not None]
    assert len(epochs) >= 3
    assert epochs == sorted(set(epochs))


def test_no_step_of_the_clock_repeats_or_reorders_a_boundary(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01, time_servers=NAMES)
    for offset_ms in (0, HOUR_MS, -HOUR_MS, 3000, -3000, 5 * HOUR_MS, 4 * HOUR_MS + 300, 0):
        serve(bench, offset_ms)
        bench.pass_time(2500)
    stepped = [event["stepped_ms"] for event in bench.board.events if event["event"] == "clock"]
    assert sum(step_ms != 0 for step_ms in stepped) == 7
    epochs = [reading.epoch for reading in drain(bench) if reading.epoch is not None]
    assert len(epochs) > 10
    assert epochs == sorted(set(epochs))


def test_boundaries_taken_by_a_clock_days_ahead_are_not_taken_again_when_their_time_comes(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01, set_by_ms=3 * HOUR_MS, time_servers=NAMES, epoch_s=60, telemetry_s=900)
    serve(bench, fault=TimeFault.DROP)
    bench.pass_time(600)
    serve(bench)
    bench.pass_time(4 * HOUR_MS // 1000)
    epochs = [reading.epoch for reading in drain(bench) if reading.epoch is not None]
    assert len(epochs) > 200
    assert len(epochs) == len(set(epochs))
    assert epochs[0] > epochs[20]  # the first ones were ahead indeed


def test_in_holdover_readings_say_how_wrong_their_clock_may_be(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01, time_servers=NAMES, telemetry_s=3600)
    bench.board.crystal_ppb = 80_000
    serve(bench)
    bench.pass_time(600)
    serve(bench, fault=TimeFault.DROP)
    bench.pass_time(6 * 3600)
    held = [reading for reading in drain(bench) if reading.clock_quality is ClockQuality.HOLDOVER]
    before = sum(reading.time - START_S < 5 for reading in held)
    stated = [reading.clock_offset_ms for reading in held]
    assert stated[:before] == [32767] * before  # no server had been heard: nothing is known of the error
    stated = stated[before:]
    assert len(stated) > 10
    assert stated == sorted(stated)
    assert 500 < stated[0] < 600
    assert 2000 < stated[-1] < 2400
    assert any(event["event"] == "clock" and not event["synced"] for event in bench.board.events)


def test_a_meter_whose_system_is_an_hour_off_takes_boundaries_by_the_servers_time(
    tmp_path: Path, broker: Broker, gateway: Gateway, gateway_key: PrivateKey, bench_meter: BenchMeter
) -> None:
    """The real firmware under real MicroPython, real datagrams: of six servers four are faulty, each in its own way."""
    right = [TimeServer(ServedTime(HOUR_MS)), TimeServer(ServedTime(HOUR_MS + 3, fault=TimeFault.WRONG_NONCE))]
    faults = (None, TimeFault.FORGED, TimeFault.RATE, TimeFault.UNSYNCHRONISED)
    wrong = [TimeServer(ServedTime(fault=fault)) for fault in faults]
    servers = [wrong[0], *right, *wrong[1:]]
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    device = Device(
        tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()],
        time_servers=[server.address for server in servers],
    )  # fmt: skip
    with servers[0], servers[1], servers[2], servers[3], servers[4], servers[5]:
        device.enrol()
        device.start()
        clock = device.wait_for(lambda event: event["event"] == "clock")
        boundaries = [
            device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
            for _ in range(2)
        ]
        device.stop()
    assert clock["servers"] == [server.address for server in right]
    assert abs(clock["stepped_ms"] - HOUR_MS) < 2000  # on a busy machine, an answer may be long under way
    assert clock["synced"]
    complaints = " ".join(event["text"] for event in device.of_kind("error"))
    assert f"outvoted: {wrong[0].address}: " in complaints
    assert all(f"time server {server.address}: " in complaints for server in wrong[1:])
    for event in boundaries[1:]:
        reading = gateway.readings[event["sequence"]]
        assert reading.epoch is not None
        assert 0 <= reading.time - reading.epoch * EPOCH_S < EPOCH_S
        assert abs(reading.time - HOUR_MS / 1000 - time.time()) < 30
        assert reading.clock_quality is ClockQuality.SYNCED
    assert gateway.chain_breaks() == []
