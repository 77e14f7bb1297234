"""A reading means what PROTOCOL.md says, fits 180 bytes, and anything else is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor, envelope, keys, reading
from ledger.errors import MalformedError

KEY = keys.PrivateKey(bytes(range(32)))
LARGEST = reading.Reading(
    2**32 - 1, 2**32 - 1, reading.ClockQuality.UNSET, -32767,
    reading.Beacon(2**32 - 1, 2**32 - 1, b"b" * 8, 2**32 - 1, 2**32 - 1, b"a" * 8),
    reading.Reason.BOUNDARY, 2**32 - 1, ((180, 2**63 - 1), (280, 2**63 - 1)), reading.Status(31), b"p" * 8, b"", b"",
)  # fmt: skip


def seal(fields: list[Any]) -> bytes:
    return envelope.seal(cbor.encode(fields), KEY)


def payload_fields() -> list[Any]:
    return list(cbor.decode(reading.encode_payload(LARGEST)))


def test_the_largest_boundary_reading_fits_180_bytes_and_comes_back() -> None:
    raw = envelope.seal(reading.encode_payload(LARGEST), KEY)
    assert len(raw) == reading.MAX_READING_BYTES
    found = reading.decode(raw)
    assert found == LARGEST._replace(key_id=KEY.key_id, raw=raw)
    assert found.is_signed_by(KEY.public_key)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2), (0, True), (1, 0), (1, 2**32), (1, "1"), (2, -1), (3, 3), (3, None), (4, 40_000), (4, True), (5, []),
        (5, [1, 2, b"", 1, 2, b""]), (6, 9), (6, 1), (7, None), (7, -1), (8, [180]), (8, [280, 1, 180, 1]),
        (8, [180, 1, 180, 1]), (8, [180, -1]), (8, [0, 1]), (8, None), (8, [180, "1"]), (9, 256), (10, b"short"),
    ],
)  # fmt: skip
def test_a_field_out_of_its_range_is_refused(place: int, value: object) -> None:
    fields = payload_fields()
    fields[place] = value
    with pytest.raises(MalformedError):
        reading.decode(seal(fields))


def test_a_missing_or_surplus_field_is_refused() -> None:
    for fields in (payload_fields()[:-1], payload_fields()[:5] + [None] * 7):
        with pytest.raises(MalformedError):
            reading.decode(seal(fields))


@given(st.binary(max_size=190))
def test_arbitrary_payloads_never_crash(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        reading.decode(envelope.seal(payload, KEY))


def test_codes_read_as_obis() -> None:
    assert [reading.obis_text(code) for code in (180, 280, 1670, 3270)] == ["1.8.0", "2.8.0", "16.7.0", "32.7.0"]
