"""MQTT packets: as the standard has them, and a parser that takes bytes in any portions and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import mqtt
from meter.errors import UplinkError

STREAM = (
    b"\x20\x02\x00\x00"
    b"\x90\x03\xff\xff\x01"
    b"\x40\x02\x00\x07" + mqtt.publish("meter/aa/receipt", b"x" * 200, 513) + b"\x30\x05\x00\x01tab" + b"\xd0\x00"
)
PACKETS = [
    mqtt.Connack(0, False),
    mqtt.Suback(65535, True),
    mqtt.Puback(7),
    mqtt.Publish(b"meter/aa/receipt", b"x" * 200, 513),
    mqtt.Publish(b"t", b"ab", None),
    mqtt.Pong(None),
]


def test_the_log_in_is_the_one_of_mqtt_3_1_1() -> None:
    packet = mqtt.connect("meter-1", "user", "pass", "m/s", "lost")
    body = b"\x00\x04MQTT\x04\xce\x00\x1e\x00\x07meter-1\x00\x03m/s\x00\x04lost\x00\x04user\x00\x04pass"
    assert packet == b"\x10" + bytes([len(body)]) + body


def test_a_subscription_asks_for_qos_1() -> None:
    assert mqtt.subscribe("a/b", 3) == b"\x82\x08\x00\x03\x00\x03a/b\x01"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_packets_come_out_whole_whatever_the_portions(portions: list[int]) -> None:
    parser = mqtt.Parser()
    found = []
    rest = STREAM
    for size in [*portions, len(STREAM)]:
        found += parser.feed(rest[:size])
        rest = rest[size:]
    assert found == PACKETS


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_from_the_broker_do_more_than_end_the_session(portions: list[bytes]) -> None:
    parser = mqtt.Parser()
    try:
        for portion in portions:
            parser.feed(portion)
    except UplinkError as error:
        assert "broker" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"\x20\x02\x02\x00",
        b"\x20\x03\x00\x00\x00", b"\x40\x01\x00", b"\x90\x02\x00\x01", b"\x00\x00", b"\xf0\x00", b"\xd0\x01\x00",
        b"\x32\x03\x00\x05a", b"\x32\x03\x00\x01a", b"\x34\x05\x00\x01a\x00\x01", b"\x30\x01\x00",
        b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\x7f", b"\x10\x00",
    ],
)  # fmt: skip
def test_a_malformed_packet_ends_the_session(data: bytes) -> None:
    with pytest.raises(UplinkError):
        mqtt.Parser().feed(data)


@pytest.mark.parametrize(("code", "text"), [(4, "bad user name"), (5, "not authorised"), (99, "code 99")])
def test_a_refused_log_in_is_named(code: int, text: str) -> None:
    assert text in mqtt.refusal(code)
