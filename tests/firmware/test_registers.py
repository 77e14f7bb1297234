"""Numbers out of register words: exact in every type and word order, on CPython and on MicroPython."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from meter import registers

from tests.firmware import numbers
from tests.firmware.conftest import RunScript
from tests.firmware.number_checks import check_numbers

CASES_A_TYPE = 60


@given(data=st.data(), kind=st.sampled_from(numbers.KINDS), exponent=st.integers(-10, 6))
def test_a_number_is_decoded_exactly_and_truncated(data: st.DataObject, kind: str, exponent: int) -> None:
    words = data.draw(st.binary(min_size=numbers.size(kind), max_size=numbers.size(kind)))
    value = registers.exact(kind, words, exponent)
    assert (None if value is None else registers.truncate(*value)) == numbers.whole(kind, words, exponent)


def test_the_same_numbers_come_out_on_micropython(run_script: RunScript, tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(numbers.cases(CASES_A_TYPE)))
    source = "from number_checks import check_numbers\nprint(check_numbers(ARGUMENTS[0]))"
    assert int(run_script(source, str(path))) == check_numbers(str(path)) == CASES_A_TYPE * len(numbers.KINDS)
