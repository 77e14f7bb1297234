"""A bounded sample of the hostile bytes that `make soak` runs by the million: the same cases on both interpreters."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter.errors import MeterError

from tests.firmware import fuzz
from tests.firmware.conftest import Tell
from tests.soak import hostile_bytes

CASES = 6500
PEAK_CASES = 650
MAX_PEAK_BYTES = 256 * 1024


@pytest.mark.parametrize("attack", [hostile_bytes.attack_cpython, hostile_bytes.attack_micropython])
def test_hostile_bytes_are_refused_in_good_order_and_memory_stays_flat(
    attack: hostile_bytes.Attack, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    monkeypatch.setattr(hostile_bytes, "CASES_PER_UNIT", CASES)
    assert attack(0) == []
    tell(f"hostile bytes: {CASES} cases, {len(fuzz.TARGETS)} handlers, {attack.__name__.removeprefix('attack_')}")


def test_no_bytes_cost_much_more_memory_than_themselves() -> None:
    tracemalloc.start()
    try:
        assert fuzz.run(0, PEAK_CASES) == []
        assert tracemalloc.get_traced_memory()[1] < MAX_PEAK_BYTES
    finally:
        tracemalloc.stop()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(fuzz.TARGETS) - 1), st.binary(max_size=300))
def test_no_bytes_at_all_do_more_than_be_refused(place: int, data: bytes) -> None:
    try:
        fuzz.TARGETS[place][0](data)
    except MeterError:
        return


def test_a_handler_that_breaks_hangs_or_hoards_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hoard = []

    def keep(data: bytes) -> None:
        hoard.extend([data + b"x" for _ in range(1000)])

    monkeypatch.setattr(fuzz, "TARGETS", ((lambda data: data[1000], (b"a",)), (keep, (b"b",))))
    monkeypatch.setattr(fuzz, "CASE_LIMIT_MS", -1)
    found = fuzz.campaign(0, 100)
    assert any("IndexError" in text for text in found)
    assert any("took" in text for text in found)
    assert "memory grew" in found[-1]


def test_a_case_follows_from_its_number_alone() -> None:
    assert fuzz.alter(fuzz.Source(7), bytes(40)) == fuzz.alter(fuzz.Source(7), bytes(40))
