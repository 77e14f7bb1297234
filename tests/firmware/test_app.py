"""The whole meter, from Modbus register to receipt: real MicroPython, a real broker, a line, power cuts."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from ledger.keys import PrivateKey
from ledger.reading import Beacon, Reason, Status
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.device import METER_ID, Device, Event, wait_until
from tests.firmware.gateway import Gateway, make_receipt

EPOCH_S = 3
BEACON = Beacon(7, 1_795_000_000, b"block-id", 9, 1_795_000_001, b"anchor-h")
OTHER_BEACON = Beacon(0, 0, bytes(8), 3, 1_794_999_999, b"another-")
"""Of another gateway, whose chain of anchors is younger, and which the ledger is out of reach for."""


def is_signed(event: Event) -> bool:
    """Tell whether *event* is about a new reading."""
    return bool(event["event"] == "signed")


def is_boundary(event: Event) -> bool:
    """Tell whether *event* is about a new boundary reading."""
    return is_signed(event) and event["reason"] == "boundary"


def test_a_register_becomes_a_receipted_reading(device: Device, gateway: Gateway) -> None:
    public_key = bytes.fromhex(device.enrol()["public_key"])
    device.start()
    for _ in range(2):
        device.wait_for(is_boundary)
    stopped = device.stop()
    assert stopped["signed"] == len(gateway.readings)
    assert stopped["receipted"] == stopped["sequence"] == max(gateway.readings)
    assert gateway.chain_breaks() == []
    assert all(reading.is_signed_by(public_key) for reading in gateway.readings.values())
    assert gateway.readings[min(gateway.readings)].reason is Reason.STARTUP


def test_boundary_readings_are_taken_at_the_boundary_and_carry_energy_alone(device: Device, gateway: Gateway) -> None:
    gateway.beacon = BEACON
    device.start()
    for _ in range(2):
        device.wait_for(is_boundary)
    gateway.beacon = OTHER_BEACON
    for _ in range(2):
        device.wait_for(is_boundary)
    device.stop()
    boundaries = [reading for reading in gateway.readings.values() if reading.reason is Reason.BOUNDARY]
    epochs = [reading.epoch or 0 for reading in boundaries]
    assert len(epochs) >= 3
    assert epochs == list(range(epochs[0], epochs[0] + len(epochs)))
    for reading in boundaries:
        assert reading.epoch is not None
        assert 0 <= reading.time - reading.epoch * EPOCH_S < EPOCH_S  # how soon, `make bench` measures
        assert reading.registers == ((180, 1234567), (280, 77250))
    assert BEACON in {reading.beacon for reading in boundaries}
    assert boundaries[-1].beacon == OTHER_BEACON


def test_telemetry_carries_power_and_voltage_in_integer_units(device: Device, gateway: Gateway) -> None:
    device.start()
    device.wait_for(lambda event: is_signed(event) and event["reason"] == "periodic")
    device.stop()
    telemetry = [reading for reading in gateway.readings.values() if reading.reason is Reason.PERIODIC]
    assert telemetry[0].registers == ((180, 1234567), (280, 77250), (1670, -1500), (3270, 2305))
    assert telemetry[0].beacon is None


def test_a_meter_that_is_silent_over_a_boundary_is_read_late_and_says_so(
    device: Device, gateway: Gateway, bench_meter: BenchMeter
) -> None:
    device.start()
    epoch = device.wait_for(is_boundary)["epoch"]
    bench_meter.mangle = lambda _request, _proper: b""
    time.sleep(max(0.0, (epoch + 1) * EPOCH_S + 0.5 - time.time()))  # until the meter has missed the next boundary
    device.wait_for(lambda event: event["event"] == "error" and "no boundary reading" in event["text"])
    bench_meter.mangle = None
    late = device.wait_for(is_boundary)
    device.stop()
    reading = gateway.readings[late["sequence"]]
    assert reading.epoch is not None
    assert Status.METER_UNREACHABLE in reading.status
    assert reading.time > reading.epoch * EPOCH_S
    assert gateway.chain_breaks() == []


def test_a_register_that_was_set_back_is_flagged_across_a_restart(
    device: Device, gateway: Gateway, bench_meter: BenchMeter
) -> None:
    device.start()
    before = device.wait_for(is_signed)["sequence"]
    device.stop()
    bench_meter.set_float(72, 1234.0)
    device.start()
    after = device.wait_for(is_signed)["sequence"]
    device.stop()
    assert Status.REGISTER_SET_BACK not in gateway.readings[before].status
    assert gateway.readings[after].status == Status.REGISTER_SET_BACK | Status.METER_RESTARTED
    assert gateway.readings[after].register(180) == 1234000


def test_nothing_is_lost_renumbered_or_unlinked_by_kill_9(device: Device, gateway: Gateway) -> None:
    signed: list[int] = []
    for pause_s in (0.0, 0.3, 0.05, 0.7, 0.15):
        device.start()
        device.wait_for(is_signed)
        time.sleep(pause_s)  # so that the kill meets the firmware at different work
        device.kill()
    device.start()
    device.wait_for(is_boundary)
    stopped = device.stop()
    signed = [event["sequence"] for event in device.of_kind("signed")]
    assert signed == sorted(set(signed))
    assert set(signed) <= set(gateway.readings)
    assert len(gateway.readings) == stopped["signed"]
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_an_unreceipted_reading_outlives_a_power_cut(device: Device, gateway: Gateway) -> None:
    gateway.answers = False
    device.start()
    for _ in range(3):
        first = device.wait_for(is_signed)
    device.kill()
    gateway.answers = True
    device.start()
    stopped = device.stop()
    assert stopped["receipted"] == stopped["sequence"]
    assert first["sequence"] in gateway.readings
    assert gateway.chain_breaks() == []


def test_only_the_gateways_receipt_for_this_very_chain_counts(
    device: Device, gateway: Gateway, gateway_key: PrivateKey
) -> None:
    gateway.answers = False
    device.start()
    sequence = device.wait_for(is_signed)["sequence"]
    wait_until(lambda: sequence in gateway.readings, "the reading did not arrive")
    digest = gateway.readings[sequence].hash
    wrong = [
        make_receipt(PrivateKey(b"\x09" * 32), METER_ID, sequence, digest),
        make_receipt(gateway_key, bytes(8), sequence, digest),
        make_receipt(gateway_key, METER_ID, sequence, bytes(32)),
        make_receipt(gateway_key, METER_ID, 2**32 - 1, digest),
        make_receipt(gateway_key, METER_ID, sequence, digest)[:-1],
        b"",
        b"\xff" * 3000,
    ]
    for message in wrong:
        gateway.send(message)
        device.wait_for(lambda event: event["event"] == "error" and "receipt ignored" in event["text"])
    assert device.of_kind("receipted") == []
    gateway.send(make_receipt(gateway_key, METER_ID, sequence, digest))
    device.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] == sequence)


def test_a_meter_restored_from_an_old_copy_goes_on_behind_the_receipts_mark(
    tmp_path: Path, device: Device, gateway: Gateway
) -> None:
    device.start()
    device.wait_for(is_signed)
    device.stop()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    device.start()
    for _ in range(2):
        device.wait_for(is_boundary)
    forgotten = device.stop()["sequence"]
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "copy").rename(tmp_path / "data")
    device.start()
    device.wait_for(lambda event: event["event"] == "error" and f"go on behind {forgotten}" in event["text"])
    assert device.wait_for(is_signed)["sequence"] > forgotten
    stopped = device.stop()
    assert stopped["receipted"] == stopped["sequence"] > forgotten
    assert gateway.forks > 0
    assert gateway.chain_breaks() == []


def test_a_meter_that_lost_its_journal_signs_for_that_and_its_chain_goes_on(
    tmp_path: Path, device: Device, gateway: Gateway
) -> None:
    device.start()
    for _ in range(2):
        device.wait_for(is_signed)
    before = device.stop()["sequence"]
    shutil.rmtree(tmp_path / "data" / "journal")
    device.start()
    device.wait_for(lambda event: event["event"] == "error" and "are lost" in event["text"])
    after = device.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] > before)["sequence"]
    stopped = device.stop()
    assert stopped["receipted"] == stopped["sequence"] >= after
    (told,) = [reading.thinned for reading in gateway.readings.values() if reading.thinned]
    first = min(number for number in gateway.readings if number > before)
    assert (told.first, told.last, told.previous) == (before + 1, first - 1, gateway.readings[before].hash[:8])
    assert (gateway.forks, gateway.chain_breaks()) == (0, [first])


def test_a_second_process_on_the_same_journal_is_refused(device: Device, gateway: Gateway) -> None:
    device.start()
    device.wait_for(is_signed)
    refused = device.command("run")
    assert refused.returncode == 1  # not 2: systemd would never start it again
    assert "another process is already running the meter" in refused.stderr
    device.stop()
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_dying_parent_leaves_no_meter_behind(device: Device, gateway: Gateway) -> None:
    device.start()
    device.wait_for(is_signed)
    assert device.hang_up() == 0
    assert device.of_kind("stopped")
    assert gateway.readings


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_the_meter_and_loses_nothing(
    device: Device, gateway: Gateway, number: signal.Signals, status: int
) -> None:
    device.start()
    device.wait_for(is_signed)
    assert device.signal(number) == status
    device.start()
    device.wait_for(is_signed)
    stopped = device.stop()
    assert stopped["signed"] == len(gateway.readings)
    assert gateway.chain_breaks() == []


@pytest.mark.parametrize("by_signal", [True, False])
def test_an_end_waits_for_receipts_and_an_interrupt_then_is_one_at_once(device: Device, by_signal: bool) -> None:
    settings = json.loads(device.config.read_text())
    device.config.write_text(json.dumps({**settings, "drain_s": 3600}))
    device.start()
    device.wait_for(is_signed)
    wait_until(lambda: device.blocks(signal.SIGINT), "SIGINT might interrupt an allocation, or asyncio's queues")
    if by_signal:
        device.send(signal.SIGINT)
    else:
        device.say("stop")
    wait_until(lambda: not device.blocks(signal.SIGINT), "nothing was noticed")
    assert device.signal(signal.SIGINT) == -signal.SIGINT
    assert device.of_kind("stopped") == []
