"""The uplink against a real mosquitto: whom it trusts, and that neither broker nor PUBACK can lose a reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger.keys import PrivateKey
from provisioning.certificates import make_authority
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import METER_ID, Device, Event, is_receipted, is_uplink_error, wait_until
from tests.firmware.gateway import Gateway


def settled(device: Device) -> Event:
    """Wait until all that is signed by now has its receipt."""
    last = max(event["sequence"] for event in device.of_kind("signed"))
    return device.wait_for(lambda event: is_receipted(event) and event["sequence"] >= last)


def test_a_file_of_the_ca_that_holds_no_certificate_is_named_by_its_key(device: Device, broker: Broker) -> None:
    broker.ca.write_text("none")
    device.start()
    assert f"broker.ca {broker.ca} holds no certificate" in device.wait_for(is_uplink_error)["text"]


def test_a_broker_that_the_campus_ca_did_not_sign_for_is_not_spoken_to(device: Device, broker: Broker) -> None:
    broker.ca.write_bytes(make_authority("somebody else").certificate_pem)
    device.start()
    assert "certificate" in device.wait_for(is_uplink_error)["text"].lower()
    assert "meter-" not in (broker.folder / "mosquitto.log").read_text()


def test_a_broker_of_another_name_is_not_spoken_to(
    tmp_path: Path, bench_meter: BenchMeter, gateway_key: PrivateKey
) -> None:
    broker = Broker(tmp_path, hosts=("10.9.8.7", "broker.example"))
    broker.start()
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    device = Device(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    device.start()
    assert "certificate" in device.wait_for(is_uplink_error)["text"].lower()
    device.kill()
    broker.kill()
    assert "meter-" not in (tmp_path / "mosquitto.log").read_text()


def test_a_host_name_is_looked_up_and_checked(tmp_path: Path, bench_meter: BenchMeter, gateway_key: PrivateKey) -> None:
    broker = Broker(tmp_path, hosts=("localhost",))
    broker.start()
    connection = {"host": "localhost", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    device = Device(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    device.start()
    with Gateway(broker, METER_ID, gateway_key, verify_name=False):
        device.wait_for(lambda event: event["event"] == "signed")
        settled(device)
        device.stop()
    broker.kill()


def test_a_refused_password_is_named_and_readings_wait(device: Device, broker: Broker) -> None:
    device.config.write_text(device.config.read_text().replace('"secret"', '"wrong"'))
    device.start()
    assert "refused the meter: not authorised" in device.wait_for(is_uplink_error)["text"]
    for _ in range(2):
        device.wait_for(lambda event: event["event"] == "signed")


def test_a_killed_broker_loses_nothing(device: Device, broker: Broker, gateway: Gateway) -> None:
    gateway.answers = False  # PUBACKed by the broker, stored nowhere that counts
    device.start()
    device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    broker.kill()
    device.wait_for(is_uplink_error)
    device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    gateway.answers = True
    gateway.readings.clear()
    broker.start()
    settled(device)
    stopped = device.stop()
    assert len(gateway.readings) == stopped["signed"]
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_puback_is_no_receipt_so_readings_come_again(device: Device, gateway: Gateway) -> None:
    gateway.answers = False
    device.start()
    first = device.wait_for(lambda event: event["event"] == "signed")["sequence"]
    wait_until(lambda: gateway.deliveries[first] >= 2, "nothing was sent again")
    gateway.answers = True
    stopped = device.stop()
    assert stopped["receipted"] == stopped["sequence"]


def test_a_broker_that_stops_answering_is_given_up(device: Device, broker: Broker, gateway: Gateway) -> None:
    device.start()
    device.wait_for(is_receipted)
    broker.freeze()
    assert "does not answer" in device.wait_for(is_uplink_error, limit_s=40)["text"]
    broker.thaw()
    settled(device)
    device.stop()
    assert gateway.chain_breaks() == []


def test_a_meter_that_leaves_takes_its_will_with_it_and_one_that_vanishes_does_not(
    device: Device, broker: Broker, gateway: Gateway
) -> None:
    wills: list[bytes] = []
    gateway.listen(f"meter/{METER_ID.hex()}/status", wills.append)
    for end in (device.stop, device.stop, device.kill):
        device.start()
        device.wait_for(is_receipted)
        end()
    wait_until(lambda: broker.log.count(f"Client meter-{METER_ID.hex()} ") >= 3, "an end was not noticed")
    broker.end()
    wait_until(lambda: wills, "no will was published")
    assert wills == [b"lost"]


def test_a_long_backlog_drains_oldest_first_and_whole(
    tmp_path: Path, device: Device, broker: Broker, gateway_key: PrivateKey, run_script: Any
) -> None:
    run_script(FILL_JOURNAL, str(device.config), "150")
    device.start()
    with Gateway(broker, METER_ID, gateway_key) as gateway:
        device.wait_for(lambda event: is_receipted(event) and event["sequence"] >= 150)
        backlog = [number for number in gateway.readings if number <= 150]  # a new boundary reading goes before it
        assert backlog == list(range(1, 151))
        stopped = device.stop()
    assert stopped["signed"] == len(gateway.readings) > 150
    assert gateway.chain_breaks() == []


FILL_JOURNAL = """
from meter import config, keystore, reading
from meter.board import linux as board
from meter.journal import Journal
settings = config.load(ARGUMENTS[0])
storage = board.Directory(settings.data_dir)
key = keystore.load_or_make(storage, board)
log, archive = [board.Directory(settings.data_dir + name) for name in ("/journal", "/archive")]
journal = Journal(log, archive, storage)
for _ in range(int(ARGUMENTS[1])):
    sequence, previous = journal.link()
    taken = reading.Reading(sequence, 1_795_000_000, 0, 0, None, 1, None, ((180, 5), (280, 6)), 0, previous)
    journal.append(sequence, 1, reading.seal(taken, key))
"""
