"""Properties of MQTT 5: whatever a broker may send is read, everything else is refused and named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import mqtt_properties as properties
from meter.errors import UplinkError

TEXT = st.binary(max_size=20).map(lambda text: len(text).to_bytes(2, "big") + text)
ONCE = {
    0x11: st.binary(min_size=4, max_size=4), 0x12: TEXT, 0x13: st.binary(min_size=2, max_size=2), 0x15: TEXT,
    0x16: TEXT, 0x1A: TEXT, 0x1C: TEXT, 0x1F: TEXT, 0x21: st.just(b"\x00\x01"), 0x22: st.just(b"\x00\x00"),
    0x24: st.sampled_from([b"\x00", b"\x01"]), 0x25: st.just(b"\x01"), 0x27: st.just(b"\x00\x00\x01\x00"),
    0x28: st.just(b"\x00"), 0x29: st.just(b"\x01"), 0x2A: st.just(b"\x01"),
}  # fmt: skip
USER_PROPERTY = st.tuples(TEXT, TEXT).map(lambda pair: b"\x26" + pair[0] + pair[1])


@st.composite
def of_connack(draw: st.DrawFn) -> tuple[set[int], bytes]:
    """Return identifiers and bytes of properties that a CONNACK may have."""
    chosen = draw(st.permutations(draw(st.lists(st.sampled_from(sorted(ONCE)), unique=True))))
    written = [bytes([identifier]) + draw(ONCE[identifier]) for identifier in chosen]
    users = draw(st.lists(USER_PROPERTY, max_size=3))
    return set(chosen) | ({0x26} if users else set()), b"".join(draw(st.permutations(written + users)))


@given(of_connack(), st.binary(max_size=5))
def test_every_property_of_a_connack_is_read_and_only_user_properties_repeat(
    found: tuple[set[int], bytes], rest: bytes
) -> None:
    identifiers, written = found
    block = properties.block(written)
    values, end = properties.read(b"??" + block + rest, 2, properties.CONNACK)
    assert (set(values), end) == (identifiers, 2 + len(block))


@given(of_connack(), st.data())
def test_properties_cut_short_are_refused(found: tuple[set[int], bytes], data: st.DataObject) -> None:
    block = properties.block(found[1])
    with pytest.raises(UplinkError, match="broker"):
        properties.read(block[: data.draw(st.integers(0, len(block) - 1))], 0, properties.CONNACK)


@given(of_connack(), st.integers(0, 255), st.sampled_from(sorted(ONCE)))
def test_a_property_that_comes_twice_is_refused(found: tuple[set[int], bytes], place: int, identifier: int) -> None:
    twice = (bytes([identifier]) + b"\x00\x00\x00\x01"[: 4 if identifier in {0x11, 0x27} else 2]) * 2
    if identifier in {0x24, 0x25, 0x28, 0x29, 0x2A}:
        twice = bytes([identifier, 1, identifier, 1])
    if identifier == 0x21:
        twice = b"\x21\x00\x01\x21\x00\x01"
    with pytest.raises(UplinkError, match="twice"):
        properties.read(properties.block(twice + (found[1] if identifier not in found[0] else b"")), 0, 2)


@pytest.mark.parametrize(
    ("packet", "block", "said"),
    [
        (properties.CONNACK, b"\x02\x7f\x00", "0x7f in a packet of type 2"),
        (properties.CONNACK, b"\x02\x01\x00", "0x01 in a packet of type 2"),
        (properties.PUBACK, b"\x03\x21\x00\x01", "0x21 in a packet of type 4"),
        (properties.DISCONNECT, b"\x05\x11\x00\x00\x00\x00", "0x11 in a packet of type 14"),
        (properties.PUBLISH, b"\x03\x23\x00\x01", "0x23 in a packet of type 3"),  # a topic alias
        (properties.CONNACK, b"\x03\x21\x00\x00", "0x21 with the value 0"),
        (properties.CONNACK, b"\x05\x27\x00\x00\x00\x00", "0x27 with the value 0"),
        (properties.CONNACK, b"\x02\x24\x02", "0x24 with the value 2"),
        (properties.PUBLISH, b"\x02\x0b\x00", "0x0b with the value 0"),
        (properties.CONNACK, b"\x04\x1f\x00\x02a", "0x1f cut short"),
        (properties.CONNACK, b"\x01\x21", "0x21 cut short"),
        (properties.CONNACK, b"\x7f\x21\x00\x01", "longer than their packet"),
        (properties.CONNACK, b"\x80\x00", "malformed length"),  # not the shortest form
        (properties.CONNACK, b"\xff\xff\xff\xff\x01", "malformed length"),
        (properties.CONNACK, b"", "malformed length"),
    ],
)
def test_what_the_standard_forbids_is_refused_and_named(packet: int, block: bytes, said: str) -> None:
    with pytest.raises(UplinkError, match=said):
        properties.read(block, 0, packet)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\x01"),
     (2_097_151, b"\xff\xff\x7f"), (2_097_152, b"\x80\x80\x80\x01"), (268_435_455, b"\xff\xff\xff\x7f")],
)  # fmt: skip
def test_lengths_are_those_of_table_1_1(value: int, encoded: bytes) -> None:
    assert properties.length(value) == encoded
    subscription = b"\x0b" + encoded
    if value:
        assert properties.read(properties.block(subscription), 0, properties.PUBLISH)[0] == {0x0B: value}
