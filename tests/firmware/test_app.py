"""The whole meter, from Modbus register to receipt, on real MicroPython, a real broker and a line."""

from __future__ import annotations

from tests.firmware.device import Device
from tests.firmware.gateway import Gateway


def test_a_register_becomes_a_receipted_reading(device: Device, gateway: Gateway) -> None:
    device.start()
    device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    stopped = device.stop()
    print(device.events)
    assert stopped["signed"] == len(gateway.readings)
    assert stopped["receipted"] == stopped["sequence"] == max(gateway.readings)
    assert gateway.chain_breaks() == []
