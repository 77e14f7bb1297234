"""Numbers out of register words: exact in every type and word order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from meter import registers

from tests.firmware import numbers


@given(data=st.data(), kind=st.sampled_from(numbers.KINDS), exponent=st.integers(-10, 6))
def test_a_number_is_decoded_exactly_and_truncated(data: st.DataObject, kind: str, exponent: int) -> None:
    words = data.draw(st.binary(min_size=numbers.size(kind), max_size=numbers.size(kind)))
    value = registers.exact(kind, words, exponent)
    assert (None if value is None else registers.truncate(*value)) == numbers.whole(kind, words, exponent)
