"""MQTT 5 with fall-back to 3.1.1: every kind of broker is reached, none is stormed, and a new one is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from meter import mqtt
from meter.mqtt_version import MAX_UNANSWERED, UPGRADE_MS

from hil.resources.mqtt_gate import MqttGate, old_broker, pass_all
from ledger.keys import PrivateKey
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import Device, is_receipted, is_uplink_error, wait_until
from tests.firmware.gateway import Gateway
from tests.firmware.virtual_bench import Bench
from tests.firmware.virtual_time import VirtualLoop

MINUTE_S = 60
NOT_5 = {
    "as 3.1.1 wants it": b"\x20\x02\x00\x01",
    "as 5 wants it": b"\x20\x03\x00\x84\x00",
    "as mosquitto does": b"\x20\x02\x00\x84",
    "by a welcome in 3.1.1": b"\x20\x02\x00\x00",
    "by hanging up": b"",
    "by half an answer": b"\x20\x02",
    "by nonsense": b"\x50\x02\x00\x01",
}


@pytest.fixture
def gate(tmp_path: Path, broker: Broker) -> Iterator[MqttGate]:
    """Give a gate before the broker that lets everything through."""
    with MqttGate(tmp_path, broker.port) as opened:
        yield opened


@pytest.fixture
def gated(tmp_path: Path, gate: MqttGate, gateway_key: PrivateKey, bench_meter: BenchMeter) -> Iterator[Device]:
    """Give an enrolled meter, not yet running, that knows the gate as its broker."""
    connection = {"host": "127.0.0.1", "port": gate.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    meter = Device(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    yield meter
    meter.kill()


def test_mosquitto_hears_mqtt_5(device: Device, broker: Broker, gateway: Gateway) -> None:
    device.start()
    device.wait_for(is_receipted)
    device.stop()
    assert "as meter-0011223344556677 (p5, c1, k30, u'meter')" in broker.log
    assert device.of_kind("error") == []


def test_a_broker_of_mqtt_3_1_1_is_reached_at_the_second_log_in_and_hears_of_a_meter_that_vanishes(
    gated: Device, gate: MqttGate, broker: Broker, gateway: Gateway
) -> None:
    wills: list[bytes] = []
    gateway.listen("meter/0011223344556677/status", wills.append)
    gate.answer = old_broker
    gated.start()
    assert "protocol version not supported; MQTT 3.1.1 is tried next" in gated.wait_for(is_uplink_error)["text"]
    gated.wait_for(is_receipted)
    assert gate.levels == [5, 4]
    assert "as meter-0011223344556677 (p2, c1, k30, u'meter')" in broker.log
    gate.cut()
    gated.wait_for(is_uplink_error)
    gated.wait_for(is_receipted)
    assert gate.levels == [5, 4, 4]
    wait_until(lambda: wills == [b"lost"], "3.1.1 knows no delay of the will")
    gated.kill()
    wait_until(lambda: wills == [b"lost"] * 2, "no will was published")
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_short_break_is_no_loss_the_session_goes_on_and_no_will_is_published(
    gated: Device, gate: MqttGate, broker: Broker, gateway: Gateway
) -> None:
    wills: list[bytes] = []
    gateway.listen("meter/0011223344556677/status", wills.append)
    gated.start()
    gated.wait_for(is_receipted)
    gate.cut()
    gated.wait_for(is_uplink_error)
    gated.wait_for(is_receipted)
    stopped = gated.stop()
    assert "(p5, c0, k30" in broker.log
    assert stopped["signed"] == len(gateway.readings)
    assert (wills, gateway.chain_breaks()) == ([], [])


def test_a_broker_killed_in_the_middle_of_a_log_in_is_not_taken_for_an_old_one(
    gated: Device, gate: MqttGate, gateway: Gateway
) -> None:
    gated.start()
    gated.wait_for(is_receipted)
    endings = itertools.chain([b"", b"\x20"], itertools.repeat(None))
    gate.answer = lambda _level: next(endings)
    gate.cut()
    gated.wait_for(is_uplink_error)
    gated.wait_for(is_receipted)
    assert gate.levels == [5, 5, 5, 5]
    assert "closed the connection during log-in" in gated.of_kind("error")[-1]["text"]


@pytest.mark.parametrize("refusal", NOT_5.values(), ids=NOT_5)
def test_however_a_broker_says_that_it_does_not_speak_5_it_is_reached(loop: VirtualLoop, refusal: bytes) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.broker.answer = lambda level: refusal if level == mqtt.V5 else None
    bench.board.network = bench.broker
    bench.pass_time(MINUTE_S)
    bench.pass_until_receipted(MINUTE_S)
    assert bench.broker.levels == [5, 4]
    bench.end()


def test_a_broker_that_waits_for_more_of_a_log_in_of_5_is_reached(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.broker.is_silent = True
    bench.board.network = bench.broker
    bench.pass_time(8)
    bench.broker.is_silent = False  # it heard a CONNECT of 5 and understood nothing
    bench.broker.answer = old_broker
    bench.pass_time(MINUTE_S)
    bench.pass_until_receipted(MINUTE_S)
    assert bench.broker.levels == [5, 4]
    bench.end()


def test_a_broker_that_is_upgraded_is_spoken_to_in_5_after_its_next_restart(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.broker.answer = old_broker
    bench.board.network = bench.broker
    bench.pass_time(10 * MINUTE_S)
    bench.broker.hang_up()
    bench.pass_time(MINUTE_S)
    assert bench.broker.levels == [5, 4, 4]
    bench.pass_time(UPGRADE_MS / 1000)
    bench.broker.hang_up()
    bench.pass_time(MINUTE_S)
    assert bench.broker.levels == [5, 4, 4, 5, 4]
    bench.pass_time(UPGRADE_MS / 1000)
    bench.broker.answer = pass_all
    bench.broker.hang_up()
    bench.pass_time(MINUTE_S)
    assert bench.broker.levels == [5, 4, 4, 5, 4, 5]
    bench.pass_until_receipted(MINUTE_S)
    bench.end()


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b"", b"\x20\x03\x00\x97\x00"])
def test_a_broker_that_takes_no_version_is_asked_at_growing_intervals(loop: VirtualLoop, refusal: bytes) -> None:
    bench = Bench(loop)
    bench.broker.answer = lambda _level: refusal
    bench.board.network = bench.broker
    bench.pass_time(10 * MINUTE_S)
    assert len(bench.broker.levels) <= 30
    pauses = [after - before for before, after in itertools.pairwise(bench.broker.logged_in_s)]
    assert all(30 <= pause <= 61 for pause in pauses[8:])
    bench.end()


def test_a_broker_that_lets_the_meter_in_and_throws_it_out_is_asked_at_growing_intervals(loop: VirtualLoop) -> None:
    bench = Bench(loop)
    bench.board.network = bench.broker
    for _ in range(600):
        bench.pass_time(1)
        bench.broker.hang_up()
    assert len(bench.broker.levels) <= 30
    bench.end()


def test_two_that_log_in_as_one_meter_do_not_throw_each_other_out_without_end(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.board.network = bench.broker
    bench.pass_time(MINUTE_S)
    bench.broker.hang_up(b"\xe0\x01\x8e")
    bench.pass_time(29)
    assert bench.broker.levels == [5]
    bench.pass_time(32)
    assert bench.broker.levels == [5, 5]
    said = [event["text"] for event in bench.board.events if event["event"] == "error"]
    assert "another device that logs in as this meter: give every meter its own identity" in said[-1]
    bench.end()


def test_a_version_that_worked_is_doubted_only_after_several_log_ins_without_an_answer(loop: VirtualLoop) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.board.network = bench.broker
    bench.pass_time(MINUTE_S)
    bench.broker.answer = lambda _level: b""
    bench.broker.hang_up()
    bench.pass_time(MINUTE_S)
    assert bench.broker.levels[: MAX_UNANSWERED + 2] == [5] * (MAX_UNANSWERED + 1) + [4]
    bench.end()
