"""MQTT packets: as the two standards have them, and a parser that takes bytes in any portions and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import mqtt
from meter import mqtt_reasons as reasons
from meter.errors import UplinkError

LEVELS = (mqtt.V311, mqtt.V5)
STREAM = {
    mqtt.V311: (
        b"\x20\x02\x00\x00"
        b"\x90\x03\xff\xff\x01"
        b"\x40\x02\x00\x07" + mqtt.publish(mqtt.V311, "meter/aa/receipt", b"x" * 200, 513)
        + b"\x30\x05\x00\x01tab" + b"\xd0\x00"
    ),
    mqtt.V5: (
        b"\x20\x06\x00\x00\x03\x21\x00\x02"
        b"\x90\x04\xff\xff\x00\x01"
        b"\x40\x02\x00\x07\x40\x03\x00\x08\x10\x40\x0a\x00\x09\x97\x06\x1f\x00\x03sad"
        + mqtt.publish(mqtt.V5, "meter/aa/receipt", b"x" * 200, 513)
        + b"\x30\x0b\x00\x01t\x05\x02\x00\x00\x00\x3cab" + b"\xd0\x00" + b"\xe0\x01\x8e"
    ),
}  # fmt: skip
RECEIPT = mqtt.Publish(b"meter/aa/receipt", b"x" * 200, 513)
PACKETS = {
    mqtt.V311: [
        mqtt.Connack(0, False, mqtt.TERMS, b""), mqtt.Suback(65535, 1, b""), mqtt.Puback(7, 0, b""), RECEIPT,
        mqtt.Publish(b"t", b"ab", None), mqtt.Pong(None),
    ],
    mqtt.V5: [
        mqtt.Connack(0, False, mqtt.TERMS._replace(in_flight=2), b""), mqtt.Suback(65535, 1, b""),
        mqtt.Puback(7, 0, b""), mqtt.Puback(8, 0x10, b""), mqtt.Puback(9, 0x97, b"sad"), RECEIPT,
        mqtt.Publish(b"t", b"ab", None), mqtt.Pong(None), mqtt.Disconnect(0x8E, b""),
    ],
}  # fmt: skip


def test_a_log_in_of_mqtt_3_1_1() -> None:
    packet = mqtt.connect(mqtt.V311, "meter-1", "user", "pass", "m/s", "lost", True)
    body = b"\x00\x04MQTT\x04\xce\x00\x1e\x00\x07meter-1\x00\x03m/s\x00\x04lost\x00\x04user\x00\x04pass"
    assert packet == b"\x10" + bytes([len(body)]) + body


@pytest.mark.parametrize(("is_clean", "flags"), [(True, b"\xce"), (False, b"\xcc")])
def test_a_log_in_of_mqtt_5_states_what_the_meter_takes_and_how_long_a_break_may_be(
    is_clean: bool, flags: bytes
) -> None:
    packet = mqtt.connect(mqtt.V5, "meter-1", "user", "pass", "m/s", "lost", is_clean)
    body = (
        b"\x00\x04MQTT\x05" + flags + b"\x00\x1e"
        b"\x0f" b"\x11\x00\x00\x00\x3c" b"\x21\x00\x10" b"\x27\x00\x00\x10\x00" b"\x17\x01"
        b"\x00\x07meter-1" b"\x05\x18\x00\x00\x00\x3c" b"\x00\x03m/s\x00\x04lost\x00\x04user\x00\x04pass"
    )  # fmt: skip
    assert packet == b"\x10" + bytes([len(body)]) + body


def test_packets_of_mqtt_5_have_room_for_properties() -> None:
    assert mqtt.publish(mqtt.V311, "a/b", b"x", 3) == b"\x32\x08\x00\x03a/b\x00\x03x"
    assert mqtt.publish(mqtt.V5, "a/b", b"x", 3) == b"\x32\x09\x00\x03a/b\x00\x03\x00x"
    assert mqtt.publish(mqtt.V5, "a/b", b"x", 3, True) == b"\x3a\x09\x00\x03a/b\x00\x03\x00x"
    assert mqtt.subscribe(mqtt.V311, "a/b", 3) == b"\x82\x08\x00\x03\x00\x03a/b\x01"
    assert mqtt.subscribe(mqtt.V5, "a/b", 3) == b"\x82\x09\x00\x03\x00\x00\x03a/b\x01"
    assert mqtt.puback(3) == b"\x40\x02\x00\x03"


def test_a_meter_that_leaves_ends_its_session_too() -> None:
    assert mqtt.disconnect(mqtt.V311) == b"\xe0\x00"
    assert mqtt.disconnect(mqtt.V5) == b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00"


@given(st.sampled_from(LEVELS), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_packets_come_out_whole_whatever_the_portions(level: int, portions: list[int]) -> None:
    parser = mqtt.Parser(level)
    found = []
    rest = STREAM[level]
    for size in [*portions, len(rest)]:
        found += parser.feed(rest[:size])
        rest = rest[size:]
    assert found == PACKETS[level]


@given(st.sampled_from(LEVELS), st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_from_the_broker_do_more_than_end_the_session(level: int, portions: list[bytes]) -> None:
    parser = mqtt.Parser(level)
    try:
        for portion in portions:
            parser.feed(portion)
    except UplinkError as error:
        assert "broker" in str(error)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "data",
    [
        b"\x20\x02\x02\x00", b"\x20\x01\x00", b"\x20\x03\x00\x00\x01",
        b"\x40\x01\x00", b"\x90\x02\x00\x01", b"\x00\x00", b"\xf0\x00", b"\xd0\x01\x00",
        b"\x32\x03\x00\x05a", b"\x32\x03\x00\x01a", b"\x34\x05\x00\x01a\x00\x01", b"\x30\x01\x00",
        b"\x32\x05\x00\x01a\x00\x00", b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\x7f", b"\x10\x00",
    ],
)  # fmt: skip
def test_a_malformed_packet_ends_the_session(level: int, data: bytes) -> None:
    with pytest.raises(UplinkError):
        mqtt.Parser(level).feed(data)


@pytest.mark.parametrize(
    ("level", "data"),
    [
        (mqtt.V311, b"\xe0\x00"), (mqtt.V311, b"\x40\x03\x00\x07\x00"), (mqtt.V311, b"\x20\x03\x00\x00\x00"),
        (mqtt.V311, b"\x90\x04\xff\xff\x00\x01"),
        (mqtt.V5, b"\x90\x03\xff\xff\x01"), (mqtt.V5, b"\x90\x05\xff\xff\x00\x01\x01"),
        (mqtt.V5, b"\x40\x05\x00\x07\x00\x00\x00"), (mqtt.V5, b"\xe0\x03\x00\x00\x00"),
        (mqtt.V5, b"\x30\x06\x00\x00\x03\x23\x00\x01"), (mqtt.V5, b"\xf0\x02\x18\x00"),
    ],
)  # fmt: skip
def test_a_packet_of_the_other_version_or_never_agreed_on_ends_the_session(level: int, data: bytes) -> None:
    with pytest.raises(UplinkError):
        mqtt.Parser(level).feed(data)


@pytest.mark.parametrize(
    ("properties", "terms"),
    [
        (b"", mqtt.TERMS),
        (b"\x21\x00\x05", mqtt.TERMS._replace(in_flight=5)),
        (b"\x27\x00\x00\x00\xc8", mqtt.TERMS._replace(packet_bytes=200)),
        (b"\x13\x00\x0a", mqtt.TERMS._replace(keep_alive_s=10)),
        (b"\x13\x01\x00", mqtt.TERMS),  # longer than asked for: to ping more often does no harm
        (b"\x13\x00\x00", mqtt.TERMS),  # off
        (b"\x24\x00", mqtt.TERMS._replace(quality=0)),
        (b"\x25\x00\x22\x00\x0a\x11\x00\x00\x00\x00\x28\x00\x12\x00\x01a\x26\x00\x01k\x00\x01v", mqtt.TERMS),
    ],
)
def test_the_terms_of_the_broker_are_read(properties: bytes, terms: mqtt.Terms) -> None:
    body = b"\x00\x00" + bytes([len(properties)]) + properties
    assert mqtt.Parser(mqtt.V5).feed(b"\x20" + bytes([len(body)]) + body) == [mqtt.Connack(0, False, terms, b"")]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"\x20\x02\x00\x01", 1),  # as 3.1.1 has it
        (b"\x20\x02\x00\x84", 0x84),  # as mosquitto answers a level that it does not know
        (b"\x20\x03\x00\x84\x00", 0x84),
        (b"\x20\x02\x00\x00", 0x84),  # welcome, but in 3.1.1
    ],
)
def test_a_broker_that_does_not_speak_mqtt_5_is_known_by_any_of_its_answers(answer: bytes, code: int) -> None:
    assert mqtt.Parser(mqtt.V5).feed(answer)[0].code == code
    assert code in reasons.OF_VERSION


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (4, b"", "bad user name or password"), (5, b"", "not authorised"), (0x87, b"", "not authorised"),
        (99, b"", "code 0x63"), (0x97, b"10 a minute", "quota exceeded (10 a minute)"),
        (0x80, b"\x1b[2J\xff\n", "unspecified error (?[2J??)"), (0x80, b"x" * 4000, f"unspecified error ({'x' * 120})"),
    ],
)  # fmt: skip
def test_a_refusal_is_named_and_the_brokers_own_words_are_cut_and_made_harmless(
    code: int, text: bytes, said: str
) -> None:
    assert reasons.describe(code, text) == said
