"""Modbus framing: what is asked, and that nothing but the proper answer is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import modbus
from meter.errors import LineError
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from tests.firmware.bench_meter import with_crc
from tests.firmware.check_cases import IDENTITY

ANSWER = with_crc(bytes([1, 4, 4, 0x44, 0x9A, 0x52, 0x25]))
QUERY = modbus.registers(4, 0, 2)


def parse(frame: bytes) -> bytes:
    return modbus.parse_registers(modbus.parse_rtu(frame, 1, QUERY), 2)


def test_a_request_is_the_one_in_eastrons_manual() -> None:
    assert modbus.rtu_frame(1, QUERY.pdu).hex() == "01040000000271cb"


def test_a_proper_answer_gives_its_registers() -> None:
    assert parse(ANSWER) == bytes([0x44, 0x9A, 0x52, 0x25])


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
        parse(frame)


@pytest.mark.parametrize(("code", "text"), [(1, "illegal function"), (2, "illegal data address"), (200, "unknown")])
def test_an_exception_is_named(code: int, text: str) -> None:
    with pytest.raises(modbus.ExceptionResponse, match=text) as caught:
        parse(with_crc(bytes([1, 0x84, code])))
    assert caught.value.code == code


def test_an_identification_is_read_object_by_object() -> None:
    assert modbus.parse_identification(IDENTITY) == {0: b"ABC", 1: b"DE"}


@pytest.mark.parametrize("pdu", [IDENTITY[:count] for count in range(len(IDENTITY))])
def test_an_identification_that_was_cut_off_is_refused(pdu: bytes) -> None:
    with pytest.raises(modbus.FrameError, match="identification"):
        modbus.parse_identification(pdu)


@pytest.mark.parametrize("transaction", [0, 1, 0xFFFF])
def test_a_tcp_frame_is_the_one_that_pymodbus_makes(transaction: int) -> None:
    frame = modbus.tcp_frame(transaction, 247, QUERY.pdu)
    assert frame == FramerSocket(DecodePDU(False)).encode(QUERY.pdu, 247, transaction)
    assert modbus.parse_tcp_head(frame[: modbus.TCP_HEAD_BYTES]) == (transaction, len(QUERY.pdu), 247)


@pytest.mark.parametrize(
    ("head", "text"),
    [("00010001000601", "protocol 1"), ("00010000000101", "length 1"), ("0001000000ff01", "length 255")],
)
def test_a_tcp_head_that_is_none_of_modbus_is_refused(head: str, text: str) -> None:
    with pytest.raises(modbus.FrameError, match=text):
        modbus.parse_tcp_head(bytes.fromhex(head))


@given(st.binary(max_size=300))
def test_the_crc_is_the_one_that_pymodbus_computes(data: bytes) -> None:
    assert modbus.crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(body=st.binary(max_size=260), words=st.integers(1, 125), is_whole=st.booleans(), is_open=st.booleans())
def test_no_bytes_from_the_line_do_more_than_be_refused(body: bytes, words: int, is_whole: bool, is_open: bool) -> None:
    query = modbus.identification() if is_open else modbus.registers(4, 0, words)
    try:
        pdu = modbus.parse_rtu(with_crc(body) if is_whole else body, body[0] if body else 1, query)
        if is_open:
            assert all(isinstance(part, bytes) for part in modbus.parse_identification(pdu).values())
        else:
            assert len(modbus.parse_registers(pdu, words)) == 2 * words
    except LineError as error:
        assert str(error)


@given(st.binary(min_size=7, max_size=7))
def test_no_tcp_head_does_more_than_be_refused(head: bytes) -> None:
    try:
        transaction, count, unit = modbus.parse_tcp_head(head)
    except LineError as error:
        assert str(error)
    else:
        assert 0 <= transaction <= 0xFFFF
        assert 1 <= count <= 253
        assert 0 <= unit <= 255
