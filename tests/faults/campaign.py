"""A run of the campaign: every kind of fault once, in an order of chance, and the verdict after each."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hil.delivery_faults import Delay, DeliveryFault, Duplicate, Reorder
from tests.faults import campus as campuses
from tests.faults.campus import START_BOUND_S, Campus
from tests.faults.faults import FAULTS
from tests.faults.verdict import settle
from tests.gateway.plant import wait_for
from tests.soak.tally import Tally

_METERS = "SELECT count(DISTINCT meter_id) FROM readings WHERE epoch IS NOT NULL"


def run(seed: int, *, is_rough: bool = False) -> Tally:
    """Inject every kind of fault, by chance from *seed*; what did not fire is a violation too. Prints as it goes.

    Where it *is_rough*, messages and receipts are duplicated, reordered or delayed all the time besides.

    It ends with the first fault that did harm: what came after would tell of that one only.
    """
    violations: list[str] = []
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, campuses.running(Path(folder), seed) as campus:
        every = len(campus.pens) + len(campus.firmware)
        wait_for(lambda: campus.rows(_METERS) == [(every,)], "a boundary reading of every meter", START_BOUND_S)
        if is_rough:
            campus.weather = campus.gateway_gate.fault = _choose_weather(campus)
            campus.meter_gate.fault = _choose_weather(campus)
        for name in campus.source.sample(sorted(FAULTS), len(FAULTS)):
            began_s = time.monotonic()
            try:
                counts[name] = FAULTS[name](campus)
            except AssertionError as error:
                return Tally([*violations, f"{name}: {error}"], counts)
            violations += [] if counts[name] else [f"{name}: did not fire"]
            violations += (f"after {name}: {text}" for text in settle(campus))
            print(f"{name}: fired {counts[name]} times, {time.monotonic() - began_s:.1f} s", flush=True)
            if violations:
                return Tally(violations, counts)
        violations += (f"in the end: {text}" for text in _end(campus))
    return Tally(violations, counts)


def _choose_weather(campus: Campus) -> DeliveryFault:
    source = campus.source
    return source.choice((Duplicate(source), Reorder(source), Delay(source.random())))


def _end(campus: Campus) -> Iterator[str]:
    """Stop the meters in order: what they say that they signed is what is stored."""
    for meter in campus.firmware:
        stopped = meter.device.stop()
        ((stored, newest),) = campus.rows(
            "SELECT count(*), max(sequence) FROM readings WHERE meter_id = ?", meter.meter_id
        )
        if (stopped["sequence"], stopped["receipted"]) != (newest, newest):
            yield f"meter {meter.meter_id.hex()} stopped with {stopped}, stored are {stored} up to number {newest}"
    yield from settle(campus)
