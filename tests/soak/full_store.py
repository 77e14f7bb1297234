"""The cost of a reading and the memory of its gateway up to ten million stored rows; takes some 4 GB of disk."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import gateway_growth

UNITS = 1
SIZES = (10**4, 10**5, 10**6, 3 * 10**6, 10**7)


def fill_store(_number: int) -> Sequence[str]:
    """Fill a store, print what a reading costs at each size, and return which bars of the bench the last one misses."""
    with tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(gateway_growth.fill(Path(folder), SIZES))
    for cost in costs:
        print(cost, flush=True)
    return judge(costs)


def judge(costs: Sequence[gateway_growth.Cost]) -> list[str]:
    """Return what is too much about the last of *costs*, beside the first and, for memory, the third."""
    violations = []
    grown, grown_mib = gateway_growth.growth(costs), costs[-1].memory_mib - costs[2].memory_mib
    if grown > gateway_growth.CURVE_BAR:
        violations.append(f"a reading costs {grown} times as much at {costs[-1].rows:,} rows as at {costs[0].rows:,}")
    if grown_mib > gateway_growth.MEMORY_BAR_MIB:
        violations.append(f"{grown_mib:.0f} MiB more memory at {costs[-1].rows:,} rows than at {costs[2].rows:,}")
    return violations
