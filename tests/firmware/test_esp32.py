"""The ESP32's board under real MicroPython, on contract fakes of its modules, with a real broker and littlefs.

Not run on silicon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hil.resources.time_server import ServedTime, TimeServer
from ledger.keys import PrivateKey
from provisioning.delivery import PIECES_PER_HINT
from provisioning.image import Image, pack
from provisioning.signed_update import sign
from provisioning.toolchain import mpy
from tests.firmware.bench_meter import BenchMeter
from tests.firmware.broker import Broker
from tests.firmware.device import METER_ID, Event
from tests.firmware.esp32_device import Esp32
from tests.firmware.gateway import Gateway

HOUR_MS = 3_600_000
LAN8720 = {
    "kind": "lan8720", "mdc": 23, "mdio": 18, "phy_addr": 1, "ref_clk": 0, "ref_clk_out": False, "power": 12,
    "reset": None, "hostname": "meter-1",
}  # fmt: skip
W5500 = {
    "kind": "w5500", "spi": 1, "sck": 14, "mosi": 13, "miso": 12, "cs": 15, "int": 2, "reset": None,
    "hostname": "meter-1",
}  # fmt: skip


@pytest.fixture
def esp32(tmp_path: Path, broker: Broker, gateway_key: PrivateKey, bench_meter: BenchMeter) -> Iterator[Esp32]:
    """Give an ESP32 in the reach of its access point, not yet running, on the bench meter and the broker."""
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    board = Esp32(tmp_path, broker=connection, gateway_keys=[gateway_key.public_key.hex()])
    yield board
    board.kill()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the meter compiled for an ESP32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpy, "BUILD", tmp_path_factory.mktemp("targets"))
        mpy.build_targets()
        return mpy.folder_of(mpy.TARGETS[0])


def is_a(kind: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == kind


def says(text: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] == "error" and text in event["text"]


def test_a_reading_goes_from_the_rs485_line_over_wifi_to_its_receipt(esp32: Esp32, gateway: Gateway) -> None:
    esp32.start()
    assert esp32.wait_for(is_a("network")) == {"event": "network", "link": "wifi campus", "address": "10.0.0.7"}
    signed = esp32.wait_for(is_a("signed"))
    esp32.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] >= signed["sequence"])
    esp32.stop()
    assert gateway.readings[signed["sequence"]].register(180) == 1_234_567
    assert gateway.chain_breaks() == []


def test_time_servers_set_the_meters_clock_and_the_chips(esp32: Esp32) -> None:
    with TimeServer(ServedTime(HOUR_MS)) as first, TimeServer(ServedTime(HOUR_MS)) as second:
        esp32.configure(time_servers=[first.address, second.address])
        esp32.start()
        clock = esp32.wait_for(is_a("clock"))
    assert clock["synced"]
    assert abs(clock["stepped_ms"] - HOUR_MS) < 1000
    esp32.surround('board.emit({"event": "chip", "now_ms": board.now_ms()})')
    assert abs(esp32.wait_for(is_a("chip"))["now_ms"] - HOUR_MS - 1000 * time.time()) < 2000


def test_wired_ethernet_carries_a_reading_too(
    tmp_path: Path, broker: Broker, gateway: Gateway, gateway_key: PrivateKey, bench_meter: BenchMeter
) -> None:
    connection = {"host": "127.0.0.1", "port": broker.port, "ca": "ca.crt", "user": "meter", "password": "secret"}
    keys = [gateway_key.public_key.hex()]
    for network in (LAN8720, W5500):
        board = Esp32(tmp_path, broker=connection, gateway_keys=keys, network=network)
        board.start()
        assert board.wait_for(is_a("network"))["link"] == network["kind"]
        board.wait_for(is_a("receipted"))
        board.kill()
        gateway.readings.clear()


def test_a_wrong_password_is_named_while_the_meter_measures_and_the_right_one_is_found_later(esp32: Esp32) -> None:
    esp32.setup = "CHIP.air.password = 'another one'"
    esp32.start()
    esp32.wait_for(says("network wifi campus: the access point refuses the password"))
    esp32.wait_for(is_a("signed"))
    esp32.surround("CHIP.air.password = 'long enough'")
    esp32.wait_for(is_a("network"))


def test_what_keeps_a_network_down_is_told(esp32: Esp32) -> None:
    esp32.setup = "CHIP.air.is_there = False"
    esp32.start()
    esp32.wait_for(says("no access point of that name is in reach"))
    esp32.surround("CHIP.air.has_dhcp = False; CHIP.air.is_there = True")
    esp32.wait_for(says("no address came in"))
    esp32.surround("CHIP.air.has_dhcp = True")
    esp32.wait_for(is_a("network"))
    esp32.surround("CHIP.air.is_there = False")
    esp32.wait_for(says("the access point fell silent"))
    esp32.surround("CHIP.air.is_there = True")
    esp32.wait_for(is_a("network"))


@pytest.mark.parametrize(
    ("setup", "text"),
    [
        ("CHIP.cable.is_in = False", "network lan8720: no link: check the cable"),
        ("CHIP.cable.has_dhcp = False", "network lan8720: the cable is in, but no address came"),
        ("CHIP.cable.has_phy = False", "network lan8720: no answer from its chip"),
    ],
)
def test_what_keeps_a_cable_down_is_told_while_the_meter_measures(esp32: Esp32, setup: str, text: str) -> None:
    esp32.configure(network=LAN8720)
    esp32.setup = setup
    esp32.start()
    esp32.wait_for(says(text))
    esp32.wait_for(is_a("signed"))


def test_power_cuts_lose_no_reading_and_use_no_number_twice(esp32: Esp32, gateway: Gateway) -> None:
    for _ in range(3):
        esp32.start()
        signed = esp32.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "periodic")
        esp32.kill()
    esp32.start()
    esp32.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] > signed["sequence"])
    esp32.kill()
    assert gateway.chain_breaks() == []
    assert gateway.forks == 0
    received = max(gateway.readings)
    assert {event["sequence"] for event in esp32.of_kind("signed") if event["sequence"] <= received} <= set(
        gateway.readings
    )


def test_an_update_goes_into_the_other_half_of_flash_and_is_confirmed_by_the_first_receipt_under_it(
    esp32: Esp32, gateway: Gateway, compiled: Path
) -> None:
    campus = PrivateKey(b"\x0c" * 32)
    esp32.configure(campus_key=campus.public_key.hex())
    update = sign(Image("esp32", 7, pack(compiled)), METER_ID, campus, trial_s=60)
    hints: list[str] = []

    def answer(message: bytes) -> None:
        """Send the pieces that the meter asks for."""
        hints.append(message.decode())
        what, version, state = (*hints[-1].split(" ", 2), "", "")[:3]
        if (what, version) == ("update", "7") and state.isdigit():
            for piece in update.pieces[int(state) : int(state) + PIECES_PER_HINT]:
                gateway.send(piece)

    gateway.listen(f"meter/{METER_ID.hex()}/status", answer)
    esp32.start()
    esp32.wait_for(is_a("receipted"))
    gateway.send(update.manifest)
    esp32.wait_for(is_a("restarting"), limit_s=60)
    esp32.wait_for_reset()
    esp32.start()
    assert esp32.wait_for(is_a("started"))["version"] == 7
    esp32.wait_for(lambda event: event == {"event": "update", "version": 7, "state": "confirmed"})
    esp32.kill()
    esp32.start()  # the power went, and came
    assert esp32.wait_for(is_a("started"))["version"] == 7
    esp32.wait_for(is_a("receipted"))
    esp32.kill()
    assert gateway.chain_breaks() == []
