"""What a broker of MQTT 5 says is heeded, with a real mosquitto: terms, refusals, and a double that throws one out."""

from __future__ import annotations

import re
import socket
import ssl
import time
from itertools import pairwise
from pathlib import Path

import pytest
from meter import mqtt

from ledger.keys import PrivateKey
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.conftest import RunScript
from tests.firmware.device import METER_ID, Device, is_receipted, is_uplink_error, wait_until
from tests.firmware.gateway import Gateway
from tests.firmware.test_uplink import FILL_JOURNAL, settled
from tests.firmware.virtual_bench import Bench
from tests.firmware.virtual_time import VirtualLoop

WAIT_S = 20
STATUS = f"meter/{METER_ID.hex()}/status"
READERS_ONLY = "user meter\ntopic read meter/#\ntopic write meter/+/receipt\n"
ALL = "user meter\ntopic readwrite meter/#\n"
READING_BYTES = 120
"""Fewer than any packet with a reading has, and enough for a log-in."""


def make_device(folder: Path, port: int, key: PrivateKey) -> Device:
    """Return a meter that knows the broker at *port*."""
    connection = {"host": "127.0.0.1", "port": port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    return Device(folder, broker=connection, gateway_keys=[key.public_key.hex()])


def log_in(broker: Broker, client_id: str) -> ssl.SSLSocket:
    """Return the connection of a client of MQTT 5 that has logged in."""
    context = ssl.create_default_context(cafile=broker.ca)
    plain = socket.create_connection(("127.0.0.1", broker.port), WAIT_S)
    secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
    secure.sendall(mqtt.connect(mqtt.V5, client_id, "meter", "secret", STATUS, "lost", True))
    assert mqtt.Parser(mqtt.V5).feed(secure.recv(100))[0].code == 0
    return secure


def test_a_publication_that_the_access_list_forbids_is_told_of_and_arrives_when_it_is_allowed(
    tmp_path: Path, bench_meter: BenchMeter, gateway_key: PrivateKey
) -> None:
    with (
        Broker(tmp_path, access=READERS_ONLY) as broker,
        Gateway(broker, METER_ID, gateway_key) as gateway,
        make_device(tmp_path, broker.port, gateway_key) as device,
    ):
        device.start()
        said = device.wait_for(is_uplink_error)["text"]
        assert re.search(r"refused reading \d: not authorised; it stays in the journal and is sent again in 5 s", said)
        for _ in range(3):
            device.wait_for(lambda event: event["event"] == "signed")
        assert gateway.readings == {}
        broker.allow(ALL)
        settled(device)
        stopped = device.stop()
    assert stopped["signed"] == len(gateway.readings)
    assert gateway.chain_breaks() == []
    assert len(device.of_kind("error")) <= 2


def test_that_no_gateway_listens_is_told_of_once(device: Device, broker: Broker) -> None:
    device.start()
    assert "no gateway is subscribed to the readings" in device.wait_for(is_uplink_error)["text"]
    for _ in range(3):
        device.wait_for(lambda event: event["event"] == "signed")
    assert len(device.of_kind("error")) == 1


def test_a_reading_too_long_for_the_broker_ends_no_session_and_names_the_limit(
    tmp_path: Path, bench_meter: BenchMeter, gateway_key: PrivateKey
) -> None:
    with (
        Broker(tmp_path, options=f"max_packet_size {READING_BYTES}\n") as broker,
        make_device(tmp_path, broker.port, gateway_key) as device,
    ):
        device.start()
        said = device.wait_for(is_uplink_error)["text"]
    assert f"the broker takes at most {READING_BYTES}: raise its maximum packet size; it stays in the journal" in said
    assert broker.log.count("New client connected") == 1
    assert "oversize" not in broker.log


def test_a_backlog_drains_through_a_window_of_one(
    tmp_path: Path, bench_meter: BenchMeter, gateway_key: PrivateKey, run_script: RunScript
) -> None:
    with (
        Broker(tmp_path, options="max_inflight_messages 1\n") as broker,
        Gateway(broker, METER_ID, gateway_key) as gateway,
        make_device(tmp_path, broker.port, gateway_key) as device,
    ):
        run_script(FILL_JOURNAL, str(device.config), "40")
        device.start()
        device.wait_for(lambda event: is_receipted(event) and event["sequence"] >= 40)
        device.stop()
    assert (device.of_kind("error"), gateway.chain_breaks()) == ([], [])


@pytest.mark.parametrize(("server_s", "pause_s"), [(10, 5), (300, 15), (0, 15)])
def test_the_brokers_keep_alive_is_kept(loop: VirtualLoop, server_s: int, pause_s: int) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.broker.terms = b"\x13" + server_s.to_bytes(2, "big")
    bench.board.network = bench.broker
    bench.pass_time(300)
    pauses = [after - before for before, after in pairwise(bench.broker.pinged_s)]
    assert len(pauses) > 10
    assert all(pause_s - 0.01 <= pause <= pause_s + 0.6 for pause in pauses)
    assert len(bench.broker.levels) == 1
    bench.end()


@pytest.mark.parametrize(
    ("terms", "said", "levels"),
    [
        (b"\x24\x00", "takes no QoS 1", {mqtt.V5}),
        (b"\x21\x00\x00", "0x21 with the value 0", {mqtt.V5, mqtt.V311}),
        (b"\x7f\x00", "property 0x7f", {mqtt.V5, mqtt.V311}),
    ],
)
def test_terms_that_cannot_be_kept_are_named(loop: VirtualLoop, terms: bytes, said: str, levels: set[int]) -> None:
    bench = Bench(loop, pace_s=0.01)
    bench.broker.terms = terms
    bench.board.network = bench.broker
    bench.pass_time(60)
    assert said in next(event["text"] for event in bench.board.events if event["event"] == "error")
    assert set(bench.broker.levels) == levels
    assert bool(bench.broker.readings) == (mqtt.V311 in levels)  # whose log-in has no terms
    bench.end()


def test_a_meter_that_is_thrown_out_by_its_double_comes_back_and_loses_nothing(
    device: Device, broker: Broker, gateway: Gateway
) -> None:
    device.start()
    device.wait_for(is_receipted)
    with log_in(broker, "meter-" + METER_ID.hex()):
        said = device.wait_for(is_uplink_error)["text"]
        # mosquitto 2.0.11 does not say why, and what a meter sends at that moment meets a closed connection
        assert any(why in said for why in ("taken over by another", "closed the connection", "ECONNRESET", "EPIPE"))
        if "taken over" not in said:
            settled(device)
        stopped = device.stop()
    assert (stopped["signed"], gateway.chain_breaks()) == (len(gateway.readings), [])


def test_the_broker_keeps_the_will_to_itself_for_a_short_break_and_tells_of_a_longer_one(
    broker: Broker, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    wills: list[float] = []
    gateway.listen(STATUS, lambda _will: wills.append(time.monotonic()))
    monkeypatch.setattr(mqtt, "BREAK_S", 2)
    log_in(broker, "meter-x").close()
    gone = time.monotonic()
    wait_until(lambda: wills, "no will was published")
    assert wills[0] - gone >= 1  # mosquitto counts whole seconds


def test_hints_told_before_there_is_a_session_arrive_the_newest_of_each_kind(
    broker: Broker, gateway: Gateway, run_script: RunScript
) -> None:
    hints: list[bytes] = []
    gateway.listen(STATUS, hints.append)
    run_script(TELL, str(broker.port), str(broker.ca), METER_ID.hex())
    wait_until(lambda: len(hints) >= 3, "hints are missing")
    assert hints == [b"update 7 trial", b"safe no meter", b"update 7 confirmed"]


TELL = """
import asyncio
from meter.board import linux as board
from meter.config import Broker
from meter.progress import Progress
from meter.safe_mode import NoJournal
from meter.uplink import Uplink

async def main(port, ca, meter_id):
    def report(text):
        raise ValueError(text)
    broker = Broker("127.0.0.1", int(port), ca, "meter", "secret")
    uplink = Uplink(board, broker, bytes.fromhex(meter_id), NoJournal(), lambda _: False, report, Progress(board))
    for text in ("update 7 loading", "update 7 trial", "safe no meter"):
        uplink.tell(text)
    running = asyncio.create_task(uplink.run())
    while uplink._outbox._hints:
        await asyncio.sleep(0.02)
    uplink.tell("update 7 confirmed")
    while uplink._outbox._hints:
        await asyncio.sleep(0.02)
    await uplink.leave()
    running.cancel()

asyncio.run(main(*ARGUMENTS))
"""
