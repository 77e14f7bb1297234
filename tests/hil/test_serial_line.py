"""A virtual line behaves like copper: several meters answer, and an address without a living meter is silent."""

from __future__ import annotations

import asyncio
import os
import select
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusIOException

from hil.errors import LineError
from hil.resources.serial_line import SerialLine
from hil.resources.trace import Schedule
from hil.resources.virtual_meter import SDM120, SDM630, Model, Plate, VirtualMeter

ABSENT = 9
TIMEOUT_S = 0.3


def make_meter(model: Model, slave: int, power_w: int) -> VirtualMeter:
    return VirtualMeter(Plate(model, slave, 1000 + slave), Schedule((power_w,), 0, 0, 10), time.time_ns)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[SerialLine]:
    opened = SerialLine(tmp_path / "line", [make_meter(SDM120, 1, 500), make_meter(SDM630, 2, -700)])
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def master(line: SerialLine) -> AsyncIterator[AsyncModbusSerialClient]:
    client = AsyncModbusSerialClient(str(line.path), timeout=TIMEOUT_S, retries=0)
    assert await client.connect()
    yield client
    client.close()


def count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def frame(body: str) -> bytes:
    """Return the RTU frame of the hex *body*: CRC-16/MODBUS appended, low byte first."""
    data = bytes.fromhex(body)
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return data + crc.to_bytes(2, "little")


def ask(path: Path, request: bytes) -> bytes:
    """Write *request* to the tty and return every byte that comes within TIMEOUT_S."""
    tty = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(tty, request)
        answer, deadline = b"", time.monotonic() + TIMEOUT_S
        while (left_s := deadline - time.monotonic()) > 0:
            if select.select([tty], [], [], left_s)[0]:
                answer += os.read(tty, 256)
        return answer
    finally:
        os.close(tty)


async def read_power(master: AsyncModbusSerialClient, slave: int, address: int) -> float:
    answer = await master.read_input_registers(address, count=2, device_id=slave)
    assert not answer.isError(), answer
    number: float = struct.unpack(">f", struct.pack(">HH", *answer.registers))[0]
    return number


async def test_several_meters_answer_on_one_line(master: AsyncModbusSerialClient) -> None:
    for _ in range(3):
        assert await read_power(master, 1, 12) == 500
        assert await read_power(master, 2, 52) == -700


async def test_an_absent_meter_is_silent_and_the_others_go_on(master: AsyncModbusSerialClient) -> None:
    with pytest.raises(ModbusIOException, match="No response"):
        await master.read_input_registers(0, count=2, device_id=ABSENT)
    with pytest.raises(ModbusIOException, match="No response"):
        await master.read_holding_registers(64512, count=2, device_id=ABSENT)
    assert await read_power(master, 1, 12) == 500


async def test_a_meter_that_dies_is_silent_until_it_lives_again(
    line: SerialLine, master: AsyncModbusSerialClient
) -> None:
    line.meters[2].alive = False
    with pytest.raises(ModbusIOException, match="No response"):
        await master.read_input_registers(52, count=2, device_id=2)
    with pytest.raises(ModbusIOException, match="No response"):
        await master.write_register(20, 7, device_id=2)
    line.meters[2].alive = True
    assert await read_power(master, 2, 52) == -700


async def test_silence_is_not_one_byte_long(line: SerialLine) -> None:
    assert len(await asyncio.to_thread(ask, line.path, frame("010400000002"))) == 9
    assert await asyncio.to_thread(ask, line.path, frame("090400000002")) == b""
    assert await asyncio.to_thread(ask, line.path, frame("000400000002")) == b""  # a broadcast


async def test_what_a_meter_does_not_have_is_an_exception_code(master: AsyncModbusSerialClient) -> None:
    assert (await master.read_input_registers(2000, count=2, device_id=1)).exception_code == 2
    assert (await master.read_holding_registers(0, count=2, device_id=1)).exception_code == 2
    assert (await master.read_coils(0, count=1, device_id=1)).exception_code == 1
    assert (await master.write_register(64512, 7, device_id=1)).exception_code == 1
    assert (await master.read_input_registers(0, count=81, device_id=1)).exception_code == 3


async def test_a_broken_frame_is_not_answered_and_does_not_stop_the_line(line: SerialLine) -> None:
    broken = frame("010400000002")[:-1] + b"\x00"
    assert await asyncio.to_thread(ask, line.path, broken + bytes(40)) == b""
    client = AsyncModbusSerialClient(str(line.path), timeout=TIMEOUT_S, retries=3)
    assert await client.connect()
    assert await read_power(client, 1, 12) == 500
    client.close()


async def test_a_master_may_leave_and_come_back(line: SerialLine) -> None:
    for _ in range(3):
        client = AsyncModbusSerialClient(str(line.path), timeout=TIMEOUT_S, retries=0)
        assert await client.connect()
        assert await read_power(client, 1, 12) == 500
        client.close()


async def test_a_stopped_line_leaves_no_tty_behind(tmp_path: Path) -> None:
    line = SerialLine(tmp_path / "line", [make_meter(SDM120, 1, 0)])
    descriptors = count_descriptors()
    await line.start()
    await line.stop()
    assert not line.path.is_symlink()
    assert count_descriptors() < descriptors


@pytest.mark.parametrize("slaves", [(), (1, 1), (0,), (248,)])
def test_an_impossible_line_is_refused(tmp_path: Path, slaves: tuple[int, ...]) -> None:
    with pytest.raises(LineError, match="different slave addresses"):
        SerialLine(tmp_path / "line", [make_meter(SDM120, slave, 0) for slave in slaves])
