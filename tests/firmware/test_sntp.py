"""What a time server's answer must be to be believed, byte by byte."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import sntp
from meter.errors import MalformedError

from hil.resources.time_server import ServedTime, TimeFault, timestamp

NONCE = bytes(range(1, 9))
NOW_MS = 1_795_000_123_456
ANSWER = ServedTime().answers(sntp.question(NONCE), NOW_MS * 1_000_000)[0]
RFC_ANSWER = bytes.fromhex(  # composed by hand from RFC 4330, 4: 2026-01-01 00:00:00.5 received, .75 sent
    "24 01 06 ec 00000000 00000000 47505300 ed006300 00000000 0102030405060708 ed006480 80000000 ed006480 c0000000"
)


def altered(place: int, value: bytes) -> bytes:
    """Return a good answer with some bytes replaced."""
    return ANSWER[:place] + value + ANSWER[place + len(value) :]


WRONG = [
    (b"", "0 bytes are no answer"),
    (ANSWER[:47], "47 bytes are no answer"),
    (altered(24, bytes(8)), "another question"),
    (altered(0, b"\x23"), "mode 3 is not a server's"),
    (altered(0, b"\x25"), "mode 5 is not"),
    (altered(0, b"\x0c"), "version 1"),
    (altered(0, b"\xe4"), "not synchronised itself"),
    (altered(1, b"\x10"), "stratum 16"),
    (altered(32, bytes(8)), "when the question came"),
    (altered(40, bytes(8)), "what time it is"),
    (altered(4, b"\0\1\1\0"), "its reference clock is 1004 ms away"),
    (altered(4, b"\xff\xff\0\0"), "its reference clock is"),
    (altered(8, b"\0\x02\0\0"), "may be 2000 ms off"),
    (altered(32, timestamp((NOW_MS + 1) * 1_000_000)), "-1 ms apart"),
    (altered(32, timestamp((NOW_MS - 1001) * 1_000_000)), "1001 ms apart"),
    (altered(32, 2 * timestamp((2**32) * 1_000_000_000)), "of Unix time"),
    (altered(1, b"\0\x06\xec" + bytes(8) + b"RATE"), "left alone: RATE"),
    (altered(1, b"\0\x06\xec" + bytes(8) + b"\0\xff\nX"), r"left alone: \?\?\?X"),
]


def test_a_question_has_no_time_of_ours_in_it() -> None:
    assert sntp.question(NONCE) == b"\x23" + bytes(39) + NONCE


def test_an_answer_composed_by_hand_from_the_rfc_is_read() -> None:
    start_ms = (0xED006480 - 2_208_988_800) * 1000
    assert sntp.parse(RFC_ANSWER, NONCE) == sntp.Answer(start_ms + 500, start_ms + 750, 0)


def test_root_delay_counts_half_and_root_dispersion_whole() -> None:
    answer = altered(4, struct.pack(">II", 65536 // 4, 65536 // 8))
    assert sntp.parse(answer, NONCE).root_ms == 125 + 125


@pytest.mark.parametrize(("data", "text"), WRONG)
def test_an_unsound_answer_is_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(MalformedError, match=text):
        sntp.parse(data, NONCE)


def test_a_kiss_of_death_tells_its_code_only_to_who_asked() -> None:
    kiss = altered(1, b"\0\x06\xec" + bytes(8) + b"DENY")
    with pytest.raises(sntp.KissOfDeath) as caught:
        sntp.parse(kiss, NONCE)
    assert caught.value.code == "DENY"
    with pytest.raises(MalformedError, match="another question"):
        sntp.parse(kiss, bytes(8))


@pytest.mark.parametrize("year_s", [1_704_067_200, 2_085_978_495, 2_085_978_496, 2_085_978_497, 4_294_967_295])
def test_the_second_era_begins_in_2036_without_a_gap(year_s: int) -> None:
    answer = ServedTime().answers(sntp.question(NONCE), year_s * 1_000_000_000 + 250_000_000)[0]
    assert sntp.parse(answer, NONCE).sent_ms == year_s * 1000 + 250


@given(st.integers(-(10**15), 10**15), st.integers(0, 900), st.integers(0, 900), st.integers(0, 50))
def test_the_true_offset_lies_within_the_stated_error(true_ms: int, there: int, back: int, held: int) -> None:
    asked_ms = 5_000_000
    received_ms = asked_ms + there + true_ms
    sample = sntp.measure(
        sntp.Answer(received_ms, received_ms + held, 0), asked_ms, asked_ms + there + held + back
    )  # fmt: skip
    assert abs(sample.offset_ms - true_ms) <= sample.error_ms
    assert sample.error_ms <= max(sntp.MIN_ERROR_MS, (there + back) // 2 + 3)


def test_an_answer_that_was_held_for_longer_than_it_took_is_refused() -> None:
    with pytest.raises(MalformedError, match="held the question longer"):
        sntp.measure(sntp.Answer(1000, 1100, 0), 0, 97)


@given(st.binary(max_size=100))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        sntp.parse(data, NONCE)


@given(st.binary(min_size=24, max_size=24), st.binary(min_size=16, max_size=64))
def test_whatever_answers_the_question_is_taken_whole_or_refused(head: bytes, tail: bytes) -> None:
    try:
        answer = sntp.parse(head + NONCE + tail, NONCE)
    except MalformedError:
        return
    assert 1_704_067_200_000 <= answer.sent_ms < 2**32 * 1000
    assert 0 <= answer.sent_ms - answer.received_ms <= sntp.MAX_HELD_MS
    assert 0 <= answer.root_ms <= 2 * sntp.MAX_ROOT_MS


@pytest.mark.parametrize("fault", sorted(set(TimeFault) - {TimeFault.DROP, TimeFault.WRONG_NONCE}))
def test_no_fault_of_the_rigs_server_passes(fault: TimeFault) -> None:
    for data in ServedTime(fault=fault).answers(sntp.question(NONCE), NOW_MS * 1_000_000):
        with pytest.raises(MalformedError):
            sntp.parse(data, NONCE)
