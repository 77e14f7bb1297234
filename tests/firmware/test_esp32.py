"""The ESP32's board under real MicroPython, on contract fakes of its modules, with a real broker and littlefs.

Not run on silicon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.keys import PrivateKey
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import Event
from tests.firmware.esp32_device import Esp32
from tests.firmware.gateway import Gateway


@pytest.fixture
def esp32(tmp_path: Path, broker: Broker, gateway_key: PrivateKey, bench_meter: BenchMeter) -> Iterator[Esp32]:
    """Give an ESP32 in the reach of its access point, not yet running, on the bench meter and the broker."""
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    board = Esp32(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    yield board
    board.kill()


def is_a(kind: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == kind


def says(text: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == "error" and text in event["text"]


def test_a_reading_goes_from_the_rs485_line_over_wifi_to_its_receipt(esp32: Esp32, gateway: Gateway) -> None:
    esp32.start()
    assert esp32.wait_for(is_a("network")) == {"event": "network", "link": "wifi campus", "address": "10.0.0.7"}
    signed = esp32.wait_for(is_a("signed"))
    esp32.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] >= signed["sequence"])
    stopped = esp32.stop()
    assert stopped["receipted"] == stopped["sequence"]
    assert gateway.readings[signed["sequence"]].register(180) == 1_234_567
    assert gateway.chain_breaks() == []
