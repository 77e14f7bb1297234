"""What a reading costs behind its signature check (place, check, commit, receipt) as the store fills, and in memory."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.enrolment import Enrolment
from gateway.intake.pipeline import MAX_BATCH_MESSAGES, Checked, Message, Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.store.database import Database
from gateway.store.readings import ReadingStore
from ledger.keys import PrivateKey
from ledger.reading import ClockQuality, Reading, Reason, Status, VerifiedReading
from tests.bench.measure import Row, at_most

METERS = 500
EPOCH_S = 900
PERIOD_S = 60
SIZES = (10**4, 10**5, 10**6)
SAMPLE = 10_000
"""Readings whose cost is taken at each size."""
CURVE_BAR = 1.5
"""A tree of 100 times the rows is a level deeper; a cost that grew with the rows would be 100 times as high."""
MEMORY_BAR_MIB = 48
"""Less than the page caches that fill meanwhile may have: the rows themselves leave nothing behind."""
_RAW_BYTES = 122


@dataclass(frozen=True, slots=True)
class Cost:
    """What a reading cost when `rows` were stored: time of the processor and of the clock; and the process's memory."""

    rows: int
    processor_us: float
    clock_us: float
    memory_mib: float

    def __str__(self) -> str:
        return (
            f"{self.rows:>10,} rows: {self.processor_us:.1f} us of processor, {self.clock_us:.1f} us by the clock,"
            f" {self.memory_mib:.0f} MiB"
        )


def measure() -> Iterator[Row]:
    """Fill a store, and compare what a reading costs near its beginning and at its end."""
    with tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(fill(Path(folder), SIZES))
    for cost in costs:
        print(cost, flush=True)
    yield at_most("gateway.cost_curve", growth(costs), f"cost at {SIZES[-1]:,} / {SIZES[0]:,} rows", CURVE_BAR)
    grown_mib = round(costs[-1].memory_mib - costs[1].memory_mib, 1)
    yield at_most(
        "gateway.memory_growth_mib", grown_mib, f"MiB from {SIZES[1]:,} to {SIZES[-1]:,} rows", MEMORY_BAR_MIB
    )


def growth(costs: Sequence[Cost]) -> float:
    """Return the last cost in processor time over the first."""
    return round(costs[-1].processor_us / costs[0].processor_us, 3)


async def fill(folder: Path, sizes: Sequence[int]) -> list[Cost]:
    """Put readings into a new store in *folder* up to the last of *sizes*, and return what one costs at each.

    They come as from the campus: every meter once a minute, a boundary reading at every epoch. Nobody signed them,
    for a signature's check does not know how many rows there are.
    """
    meters = [secrets.token_bytes(8) for _ in range(METERS)]
    enrolment = Enrolment.open(_write_roster(folder / "roster.json", meters))
    database = await Database.open(folder / "gateway.sqlite")
    verifier = Verifier(enrolment)
    receipts = Receipts(PrivateKey(secrets.token_bytes(32)), lambda: None, time.time)
    pipeline = Pipeline(_Nowhere(), verifier, ReadingStore(database), receipts, enrolment, EPOCH_S)
    campus = _take_turns(meters)
    costs, rows = [], 0
    try:
        for size in sizes:
            rows += await _put(pipeline, campus, size - rows - SAMPLE)
            before = time.process_time(), time.perf_counter()
            rows += await _put(pipeline, campus, SAMPLE)
            spent = time.process_time() - before[0], time.perf_counter() - before[1]
            costs.append(Cost(rows, spent[0] / SAMPLE * 1e6, spent[1] / SAMPLE * 1e6, _memory_mib()))
    finally:
        verifier.close()
        await database.close()
    return costs


class _Nowhere:
    """An uplink that goes nowhere, and from which nothing comes."""

    async def take(self, _limit: int) -> list[Message]:
        return []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        pass

    def publish(self, topic: str, payload: bytes) -> None:
        pass


async def _put(pipeline: Pipeline, campus: Iterator[VerifiedReading], count: int) -> int:
    left = count
    while left > 0:
        readings = [next(campus) for _ in range(min(left, MAX_BATCH_MESSAGES))]
        await pipeline.finish([], Checked(readings, [], []))
        left -= len(readings)
    return max(count, 0)


def _take_turns(meters: Sequence[bytes]) -> Iterator[VerifiedReading]:
    """Yield readings without end, one of each meter a minute, each linked to the one before."""
    previous = dict.fromkeys(meters, bytes(8))
    moment = 1_800_000_000
    sequence = 0
    while True:
        sequence += 1
        moment += PERIOD_S
        epoch = moment // EPOCH_S if moment % EPOCH_S == 0 else None
        reason = Reason.PERIODIC if epoch is None else Reason.BOUNDARY
        registers = ((180, 1000 + sequence), (280, 0), *(((1670, 60),) if epoch is None else ()))
        for meter_id in meters:
            reading = Reading(
                sequence, moment, ClockQuality.SYNCED, 0, None, reason, epoch, registers, Status(0),
                previous[meter_id], bytes(8), os.urandom(_RAW_BYTES),
            )  # fmt: skip
            previous[meter_id] = reading.hash[:8]
            yield VerifiedReading(meter_id, reading)


def _write_roster(path: Path, meters: Sequence[bytes]) -> Path:
    entries = [
        {
            "meter_id": meter_id.hex(), "public_key": PrivateKey(secrets.token_bytes(32)).public_key.hex(),
            "profile": "eastron_sdm120", "rated_power_w": 10_000, "can_export": True, "account": meter_id.hex(),
            "label": meter_id.hex(),
        }
        for meter_id in meters
    ]  # fmt: skip
    path.write_text(json.dumps({"meters": entries, "users": []}))
    return path


def _memory_mib() -> float:
    """Return how much of this process is in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
