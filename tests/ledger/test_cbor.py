"""CBOR as the ledger takes it: one encoding a value, and nothing but arrays, integers, strings, bool and null."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor
from ledger.errors import MalformedError

APPENDIX_A: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "vectors" / "rfc8949-appendix-a-part1.json").read_text()
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**128) + 1, 2**128 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def is_ours(value: object) -> bool:
    if isinstance(value, list):
        return all(map(is_ours, value))
    return value is None or isinstance(value, bool | str) or (type(value) is int and abs(value) < 2**128)


@pytest.mark.parametrize("case", APPENDIX_A, ids=lambda case: case["hex"])
def test_rfc_8949_examples_are_read_exactly_or_refused(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["roundtrip"] and "decoded" in case and is_ours(case["decoded"]):
        assert cbor.decode(data) == case["decoded"]
    elif case["roundtrip"] and data[0] >> 5 == 2:
        assert cbor.encode(cbor.decode(data)) == data
    else:
        with pytest.raises(MalformedError):
            cbor.decode(data)


@given(values)
def test_every_value_comes_back_from_its_one_encoding(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(values | st.binary(max_size=70_000) | st.lists(st.integers(-(2**70), 2**70), max_size=300))
def test_our_encoder_writes_what_cbor2_does(value: object) -> None:
    assert cbor.encode(value) == cbor2.dumps(value)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_heads_of_every_width_are_the_shortest(size: int) -> None:
    for value in (size, -1 - size, bytes(size), "x" * size, [None] * size, 2**64 - 1, 2**64, 2**32 - 1, 2**32):
        assert cbor.encode(value) == cbor2.dumps(value)


def test_nesting_ends_where_it_says() -> None:
    def nest(depth: int, leaf: object) -> object:
        return leaf if depth == 0 else [nest(depth - 1, leaf)]

    assert cbor.decode(cbor.encode(nest(cbor.MAX_DEPTH, 1)))
    for depth, leaf in ((cbor.MAX_DEPTH + 1, 1), (cbor.MAX_DEPTH + 2, b"")):
        with pytest.raises(ValueError, match="nested deeper"):
            cbor.encode(nest(depth, leaf))
        with pytest.raises(MalformedError):
            cbor.decode(cbor2.dumps(nest(depth, leaf)))


@given(st.binary(max_size=80))
def test_bytes_are_either_canonical_or_refused(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedError:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize(
    "value", [1.0, {1: 2}, object(), {1}, cbor2.CBORTag(1, 0), cbor2.undefined, 2**128, bytearray(1)]
)
def test_foreign_types_cannot_be_encoded(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        cbor.encode([value])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x18\x01",
        b"\x9f\xff",
        b"\x00\x00",
        b"\xa0",
        b"\xf5\xf5",
        b"\xc2\x41\x01",
        b"\x81" * 5000 + b"\x00",
        b"\x9b" + b"\xff" * 8,
        bytes.fromhex("c5821b7fffffffffffffff01"),
        bytes.fromhex("c4821b7fffffffffffffff01"),
        bytes.fromhex("d81c81d81d00"),
        bytes.fromhex("d82361") + b"(",
        b"\xc2\x80",
        b"\xc2" * 300 + b"\x40",
        b"\x5b" + b"\xff" * 8,
    ],
    ids=[
        *("empty", "long-one", "indefinite", "trailing", "map", "two", "small-bignum", "deep", "huge-length"),
        *("huge-power", "huge-fraction", "holds-itself", "pattern", "bignum-of-list", "bignums", "huge-string"),
    ],
)
def test_hostile_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        cbor.decode(data)


def test_lists_that_share_one_another_are_refused_before_they_multiply() -> None:
    """Sixteen lists of ten references to the one before: a few hundred bytes that stand for 10^16 items."""
    shared = b"".join(b"\xd8\x1c\x8a" + (b"\xd8\x1d" + bytes([number])) * 10 for number in range(15))
    with pytest.raises(MalformedError):
        cbor.decode(b"\x90\xd8\x1c\x8a" + b"\x00" * 10 + shared)
