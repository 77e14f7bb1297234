"""A bounded sample of the hostile bytes that `make soak` runs by the million: the same cases on both interpreters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from meter.errors import MeterError

from tests.firmware import fuzz
from tests.firmware.conftest import RunScript
from tests.soak.hostile_bytes import attack_firmware

CASES = 6000
MAX_GROWTH_BYTES = 4096


def test_hostile_bytes_are_refused_in_good_order_on_cpython() -> None:
    assert fuzz.run(0, CASES) == []


def test_hostile_bytes_are_refused_in_good_order_on_micropython_and_memory_stays_flat(run_script: RunScript) -> None:
    printed = run_script(f"""
import gc
import fuzz
found = fuzz.run(0, {CASES // 2})
gc.collect()
before = gc.mem_alloc()
found += fuzz.run({CASES // 2}, {CASES // 2})
gc.collect()
print(gc.mem_alloc() - before)
print(found)
""")
    growth, found = printed.splitlines()
    assert found == "[]"
    assert int(growth) < MAX_GROWTH_BYTES


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(fuzz.TARGETS) - 1), st.binary(max_size=300))
def test_no_bytes_at_all_do_more_than_be_refused(place: int, data: bytes) -> None:
    try:
        fuzz.TARGETS[place][0](data)
    except MeterError:
        return


def test_a_units_number_is_its_only_seed() -> None:
    assert attack_firmware(3) == attack_firmware(3) == []
    assert fuzz.alter(fuzz.Source(7), bytes(40)) == fuzz.alter(fuzz.Source(7), bytes(40))
