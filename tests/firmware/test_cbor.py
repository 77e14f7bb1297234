"""The CBOR subset: canonical, bounded, and the same bytes as the ledger's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import cbor
from meter.errors import MalformedError

from ledger import cbor as ledger_cbor
from tests.firmware.conftest import RunScript

APPENDIX_A = Path(__file__).parents[1] / "data" / "vectors" / "rfc8949-appendix-a-part1.json"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)
NOT_CANONICAL = [
    "1800", "1817", "190018", "1a00000100", "1b0000000000000001",  # integers longer than needed
    "3800", "5800", "780161", "980101",  # lengths longer than needed
    "5f4100ff", "9f01ff", "7f6161ff",  # indefinite lengths
    "f90000", "fa00000000", "fb0000000000000000", "f7", "f0", "f818", "ff",  # floats, undefined, simple values
    "a0", "a10102", "c000", "d82a00",  # maps and tags
    "0000", "8100f6",  # bytes behind the value
    "", "18", "19ff", "4101ff", "42ff", "8201", "1c", "1f", "5bffffffffffffffff", "9bffffffffffffffff",
    "62ff80",  # not UTF-8
    "81" * 8 + "00",  # nested too deeply
]  # fmt: skip


def is_in_subset(value: Any) -> bool:
    """Tell whether our formats have *value*'s type."""
    if isinstance(value, list):
        return all(is_in_subset(item) for item in value)
    return value is None or isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 2**64)


def test_the_examples_of_rfc_8949_decode_and_encode() -> None:
    count = 0
    for item in json.loads(APPENDIX_A.read_text()):
        if "decoded" in item and item["roundtrip"] and is_in_subset(item["decoded"]):
            data = bytes.fromhex(item["hex"])
            if data[0] >> 5 in {0, 1, 2, 3, 4, 7} and data[0] not in {0xF9, 0xFA, 0xFB}:
                assert cbor.decode(data) == item["decoded"]
                assert cbor.encode(item["decoded"]) == data
                count += 1
    assert count >= 15


@given(VALUES)
def test_what_is_encoded_decodes_and_equals_the_ledgers_encoding(value: Any) -> None:
    try:
        data = cbor.encode(value)
        assert data == ledger_cbor.encode(value)
        assert cbor.decode(data) == value
    except MalformedError as error:
        assert "deep" in str(error)


@given(st.binary(max_size=60))
def test_only_what_would_be_encoded_so_is_ever_decoded(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedError:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize("text", NOT_CANONICAL)
def test_another_encoding_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        cbor.decode(bytes.fromhex(text))


def test_micropython_refuses_the_same(run_script: RunScript) -> None:
    source = """
from meter import cbor
from meter.errors import MalformedError
for text in ARGUMENTS:
    try:
        cbor.decode(bytes.fromhex(text))
        print("taken", text)
    except MalformedError:
        pass
value = [1, -1, 23, 24, 255, 256, 65535, 65536, 2**32, -2**63, 2**64 - 1, b"ab", "\\u00b5", [None, True, False]]
assert cbor.decode(cbor.encode(value)) == value
print(cbor.encode(value).hex())
"""
    value = [1, -1, 23, 24, 255, 256, 65535, 65536, 2**32, -(2**63), 2**64 - 1, b"ab", "µ", [None, True, False]]
    assert run_script(source, *NOT_CANONICAL).strip() == ledger_cbor.encode(value).hex()


@pytest.mark.parametrize("value", [1.5, {}, 2**64, object()])
def test_what_the_subset_lacks_is_not_encoded(value: Any) -> None:
    with pytest.raises(TypeError):
        cbor.encode(value)
