"""The CBOR subset: canonical, bounded, and the same bytes as the ledger's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import cbor
from meter.errors import MalformedError

from ledger import cbor as ledger_cbor
from tests.firmware.check_cases import NOT_CANONICAL

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


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


@pytest.mark.parametrize("value", [1.5, {}, 2**64, object()])
def test_what_the_subset_lacks_is_not_encoded(value: Any) -> None:
    with pytest.raises(TypeError):
        cbor.encode(value)
