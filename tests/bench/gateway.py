"""What the gateway bears: intake beside bare verification, a campus's load and outages, a store that fills."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import gateway_growth, gateway_intake, gateway_load
from tests.bench.measure import Row


def measure() -> Iterator[Row]:
    """Yield the rows of every measurement, one after the other."""
    yield from gateway_intake.measure()
    yield from gateway_load.measure()
    yield from gateway_growth.measure()
