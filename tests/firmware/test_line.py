"""The serial line: bounded in time, tried again, deaf to everything that is not the answer."""

from __future__ import annotations

import json
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from meter import rtu
from meter.board import linux as board
from meter.board.rs485 import Rs485Uart
from meter.config import Line as LineSettings
from meter.errors import ConfigError, LineError
from meter.line import ATTEMPTS, Line
from meter.rtu import ANSWER_TIMEOUT_MS

from tests.firmware.bench_meter import BenchMeter, with_crc
from tests.firmware.conftest import RunScript

SET_LINE = """
import os, termios
from meter.board import linux
from meter.config import Line
uart = linux.open_uart(Line(ARGUMENTS[0], int(ARGUMENTS[1]), ARGUMENTS[2], int(ARGUMENTS[3])))
assert uart.read(10) == b""  # does not wait
"""
PARITY_FLAGS = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}


@pytest.fixture
def line(bench_meter: BenchMeter) -> Iterator[Line]:
    """Give a line to the bench meter."""
    opened = Line(LineSettings(str(bench_meter.path), 115200, "none", 1), board)
    yield opened
    opened.close()


async def test_registers_are_read(line: Line, bench_meter: BenchMeter) -> None:
    assert await line.read(1, 4, 72, 2) == (bench_meter.words[72] << 16 | bench_meter.words[73]).to_bytes(4, "big")


async def test_a_bad_answer_is_asked_for_again(line: Line, bench_meter: BenchMeter) -> None:
    lengths = iter([8, 4])
    bench_meter.mangle = lambda _request, proper: proper[: next(lengths, None)]
    assert len(await line.read(1, 4, 72, 2)) == 4
    assert len(bench_meter.requests) == 3


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "did not answer"),
        (b"\x01\x04", "short frame"),
        (with_crc(b"\x02\x04\x04abcd"), "slave 2"),
        (with_crc(b"\x01\x04\x04abcd") + b"\x00", "long frame"),
        (b"\xff" * 300, "long frame"),
    ],
)
async def test_a_line_that_answers_nonsense_is_given_up_in_bounded_time(
    line: Line, bench_meter: BenchMeter, answer: bytes, text: str
) -> None:
    bench_meter.mangle = lambda _request, _proper: answer
    start = time.monotonic()
    with pytest.raises(LineError, match=text):
        await line.read(1, 4, 72, 2)
    assert time.monotonic() - start < ATTEMPTS * (ANSWER_TIMEOUT_MS / 1000 + 2)  # which a busy machine keeps, too
    assert len(bench_meter.requests) == ATTEMPTS


async def test_an_exception_is_final(line: Line, bench_meter: BenchMeter) -> None:
    bench_meter.mangle = lambda _request, _proper: with_crc(b"\x01\x84\x02")
    with pytest.raises(LineError, match="illegal data address"):
        await line.read(1, 4, 72, 2)
    assert len(bench_meter.requests) == 1


async def test_a_late_answer_is_not_taken_for_the_next_one(line: Line, bench_meter: BenchMeter) -> None:
    await line.read(1, 4, 72, 2)
    bench_meter.send(with_crc(b"\x01\x04\x04late"))
    assert await line.read(1, 4, 72, 2) != b"late"


async def test_a_meter_that_answers_late_to_two_attempts_is_not_misread_at_the_next_register(
    line: Line, bench_meter: BenchMeter
) -> None:
    def answer_late(request: bytes, proper: bytes) -> bytes:
        if request[3] == 72:  # hears it while still at the attempt before, and answers both, one after the other
            time.sleep(0.6 if len(bench_meter.requests) == 1 else 0.03)
        return proper

    bench_meter.mangle = answer_late
    imported, exported = await line.read(1, 4, 72, 2), await line.read(1, 4, 74, 2)
    assert [request[3] for request in bench_meter.requests] == [72, 72, 74]
    assert struct.unpack(">ff", imported + exported) == pytest.approx((1234.567, 77.25))


async def test_only_a_meter_that_owes_an_answer_is_waited_for(line: Line, bench_meter: BenchMeter) -> None:
    start = time.monotonic()
    for register in range(10):
        await line.read(1, 4, register, 2)
    assert time.monotonic() - start < 5 * rtu.LATE_MS / 1000


async def test_a_lost_adapter_is_opened_again(line: Line, bench_meter: BenchMeter) -> None:
    target = bench_meter.path.readlink()
    bench_meter.path.unlink()
    with pytest.raises(LineError, match="cannot use"):
        await line.read(1, 4, 72, 2)
    bench_meter.path.symlink_to(target)
    assert len(await line.read(1, 4, 72, 2)) == 4


async def test_a_line_that_never_falls_silent_is_given_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    class Babble:
        def read(self, _count: int) -> bytes:
            return b"x"

        def close(self) -> None:
            return

    monkeypatch.setattr(rtu, "STALE_READS", 3)
    monkeypatch.setattr(line._wire, "_uart", Babble())
    with pytest.raises(LineError, match="another master"):
        await line.read(1, 4, 72, 2)


@pytest.mark.parametrize(
    ("baud", "parity", "stop_bits"),
    [(1200, "none", 1), (2400, "even", 1), (4800, "odd", 1), (9600, "none", 2), (115200, "even", 1)],
)
def test_micropython_sets_the_line_as_configured(
    run_script: RunScript, bench_meter: BenchMeter, baud: int, parity: str, stop_bits: int
) -> None:
    run_script(SET_LINE, str(bench_meter.path), str(baud), parity, str(stop_bits))
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = termios.tcgetattr(bench_meter.slave)
    assert ispeed == ospeed == getattr(termios, f"B{baud}")
    assert bool(cflag & termios.PARODD) == (parity == "odd")  # PARENB: a pty drops it, see the test below
    assert bool(cflag & termios.CSTOPB) == (stop_bits == 2)
    assert cflag & termios.CSIZE == termios.CS8
    assert cflag & termios.CREAD
    assert cflag & termios.CLOCAL
    assert (iflag, oflag, lflag) == (0, 0, 0)
    assert characters[termios.VMIN] in {0, b"\x00"}
    assert characters[termios.VTIME] in {0, b"\x00"}


@pytest.mark.parametrize("parity", PARITY_FLAGS)
def test_parity_is_asked_for_by_its_right_flags(
    bench_meter: BenchMeter, monkeypatch: pytest.MonkeyPatch, parity: str
) -> None:
    asked = []
    monkeypatch.setattr(termios, "tcsetattr", lambda _descriptor, _when, settings: asked.append(settings))
    with pytest.raises(OSError, match="does not take 2400 baud"):  # since nothing was set
        board.open_uart(LineSettings(str(bench_meter.path), 2400, parity, 1))
    assert asked[0][2] & (termios.PARENB | termios.PARODD) == PARITY_FLAGS[parity]


def test_a_speed_that_the_board_lacks_is_a_clear_error(bench_meter: BenchMeter) -> None:
    with pytest.raises(ConfigError, match="2401 is not a speed"):
        board.open_uart(LineSettings(str(bench_meter.path), 2401, "none", 1))


def test_a_path_that_is_no_tty_is_an_error_not_a_crash(tmp_path: Path, run_script: RunScript) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    source = SET_LINE.replace("uart = ", "try:\n    uart = ").replace(
        'assert uart.read(10) == b""  # does not wait', "except OSError as error:\n    print('refused', error)"
    )
    assert "refused" in run_script(source, str(tmp_path / "file"), "9600", "none", "1")


async def test_our_own_echo_is_taken_off(line: Line, bench_meter: BenchMeter) -> None:
    bench_meter.mangle = lambda request, proper: request + proper
    assert len(await line.read(1, 4, 72, 2)) == 4
    assert len(await line.read(1, 4, 72, 1)) == 2  # shorter than its echo
    assert len(bench_meter.requests) == 2


async def test_an_echo_alone_is_no_answer(line: Line, bench_meter: BenchMeter) -> None:
    bench_meter.mangle = lambda request, _proper: request
    with pytest.raises(LineError, match="did not answer"):
        await line.read(1, 4, 72, 2)


async def test_a_busy_meter_is_asked_again(line: Line, bench_meter: BenchMeter) -> None:
    answers = iter([with_crc(b"\x01\x84\x06"), with_crc(b"\x01\x84\x05")])
    bench_meter.mangle = lambda _request, proper: next(answers, proper)
    assert len(await line.read(1, 4, 72, 2)) == 4
    assert len(bench_meter.requests) == 3


async def test_a_dead_meter_does_not_starve_the_others(
    line: Line, bench_meter: BenchMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask_the_dead_one(told: str) -> None:
        with monkeypatch.context() as hurried, pytest.raises(LineError, match=told):
            hurried.setattr(rtu, "ANSWER_TIMEOUT_MS", 20)  # but the living one has its time on a busy machine, too
            await line.read(2, 4, 72, 2)

    bench_meter.mangle = lambda request, proper: b"" if request[0] == 2 else proper
    await line.read(1, 4, 72, 2)
    skips = []
    for _ in range(9):
        await ask_the_dead_one("did not answer")
        skips.append(line._silent[2][1])
        await ask_the_dead_one("left out")
        assert len(await line.read(1, 4, 72, 2)) == 4
        line._silent[2] = (line._silent[2][0] - skips[-1], skips[-1])  # as if that time had passed
    assert skips == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    asked = [request[0] for request in bench_meter.requests]
    assert asked.count(2) == ATTEMPTS + 8  # one attempt once it is known to be dead
    bench_meter.mangle = None
    assert len(await line.read(2, 4, 72, 2)) == 4
    assert 2 not in line._silent


async def test_a_lost_adapter_leaves_no_meter_out_once_it_is_back(line: Line, bench_meter: BenchMeter) -> None:
    await line.read(1, 4, 72, 2)
    line.close()
    target = bench_meter.path.readlink()
    bench_meter.path.unlink()
    for slave in (1, 2):
        with pytest.raises(LineError, match="cannot use"):
            await line.read(slave, 4, 72, 2)
    bench_meter.path.symlink_to(target)
    for slave in (1, 2):
        assert len(await line.read(slave, 4, 72, 2)) == 4


async def test_a_dead_meter_alone_on_its_line_is_asked_whenever_it_is_wanted(
    line: Line, bench_meter: BenchMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtu, "ANSWER_TIMEOUT_MS", 20)
    bench_meter.mangle = lambda _request, _proper: b""
    for _ in range(3):
        with pytest.raises(LineError, match="did not answer"):
            await line.read(1, 4, 72, 2)
    assert len(bench_meter.requests) == 3 * ATTEMPTS


def test_the_direction_pin_is_set_for_exactly_as_long_as_a_frame_takes() -> None:
    seen: list[object] = []

    class Pin:
        def value(self, level: int) -> None:
            seen.append(level)

    class BusyUart:
        def write(self, data: bytes) -> None:
            seen.append(data)

        def flush(self) -> None:
            seen.append("sent")
            raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        Rs485Uart(BusyUart(), Pin()).write(b"frame")
    assert seen == [0, 1, b"frame", "sent", 0]
