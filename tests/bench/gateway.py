"""What the gateway bears: intake beside bare verification."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import gateway_intake
from tests.bench.measure import Row


def measure() -> Iterator[Row]:
    """Yield the rows of every measurement, one after the other."""
    yield from gateway_intake.measure()
