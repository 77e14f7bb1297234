"""Modbus framing: what is asked, and that nothing but the proper answer is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import modbus
from meter.errors import LineError
from pymodbus.framer import FramerRTU

from tests.firmware.bench_meter import with_crc

ANSWER = with_crc(bytes([1, 4, 4, 0x44, 0x9A, 0x52, 0x25]))


def test_a_request_is_the_one_in_eastrons_manual() -> None:
    assert modbus.request(1, 4, 0, 2).hex() == "01040000000271cb"


def test_a_proper_answer_gives_its_registers() -> None:
    assert modbus.parse_answer(ANSWER, 1, 4, 2) == bytes([0x44, 0x9A, 0x52, 0x25])


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"", "did not answer"),
        (ANSWER[:-1], "short frame: 8 of 9"),
        (ANSWER[:1], "short frame"),
        (ANSWER + b"\0", "long frame"),
        (ANSWER[:-1] + bytes([ANSWER[-1] ^ 1]), "CRC"),
        (with_crc(bytes([2, 4, 4, 0, 0, 0, 0])), "slave 2, not 1"),
        (with_crc(bytes([1, 3, 4, 0, 0, 0, 0])), "function 3, not 4"),
        (with_crc(bytes([1, 4, 2, 0, 0, 0, 0])), "2 data bytes, not 4"),
        (with_crc(bytes([1, 0x83, 2])), "function 131, not 4"),
    ],
)
def test_another_frame_is_refused_by_name(frame: bytes, text: str) -> None:
    with pytest.raises(modbus.FrameError, match=text):
        modbus.parse_answer(frame, 1, 4, 2)


@pytest.mark.parametrize(("code", "text"), [(1, "illegal function"), (2, "illegal data address"), (200, "unknown")])
def test_an_exception_is_named(code: int, text: str) -> None:
    with pytest.raises(modbus.ExceptionResponse, match=text) as caught:
        modbus.parse_answer(with_crc(bytes([1, 0x84, code])), 1, 4, 2)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_the_crc_is_the_one_that_pymodbus_computes(data: bytes) -> None:
    assert modbus.crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(st.binary(max_size=300), st.integers(1, 125))
def test_no_bytes_from_the_line_do_more_than_be_refused(frame: bytes, words: int) -> None:
    try:
        assert len(modbus.parse_answer(frame, 1, 4, words)) == 2 * words
    except LineError as error:
        assert str(error)
