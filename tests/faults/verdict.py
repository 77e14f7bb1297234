"""After a fault: every reading that a meter signed is stored exactly once, and every interval is what registers did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gateway.intake.sequence import find_fault
from ledger import reading
from ledger.reading import ENERGY_IMPORT, Reading
from tests.faults.campus import Campus, FirmwareMeter
from tests.faults.pen_meter import PenMeter
from tests.gateway.plant import EPOCH_S, wait_for

SETTLE_BOUND_S = 150.0
"""How long readings may take after a fault: without a receipt the firmware sends again after 5 s, 10 s, 20 s, …"""


def settle(campus: Campus) -> list[str]:
    """Hold the quick meters still, wait until all that is signed by now is stored, and return what is wrong then."""
    for pen in campus.pens:
        pen.paused.set()
    signed = {meter.meter_id: meter.signed for meter in campus.firmware}
    try:
        wait_for(lambda: not _find_missing(campus, signed), "all that was signed to be stored", SETTLE_BOUND_S)
    except AssertionError:
        return [f"lost: {_find_missing(campus, signed)}"]
    found = [text for pen in campus.pens for text in _judge_pen(campus, pen)]
    found += [text for meter in campus.firmware for text in _judge_firmware(campus, meter)]
    found += _judge_store(campus)
    for pen in campus.pens:
        pen.paused.clear()
    return found


def _find_missing(campus: Campus, signed: dict[bytes, set[int]]) -> dict[str, set[int]]:
    expected = signed | {pen.pen.meter_id: set(range(1, len(pen.signed) + 1)) for pen in campus.pens}
    stored: dict[bytes, set[int]] = {}
    for meter_id, number in campus.rows("SELECT meter_id, sequence FROM readings"):
        stored.setdefault(meter_id, set()).add(number)
    missing = {meter_id.hex(): numbers - stored.get(meter_id, set()) for meter_id, numbers in expected.items()}
    return {name: numbers for name, numbers in missing.items() if numbers}


def _judge_pen(campus: Campus, meter: PenMeter) -> Iterator[str]:
    name = meter.pen.meter_id.hex()
    rows = campus.rows("SELECT raw, refusal FROM readings WHERE meter_id = ? ORDER BY sequence", meter.pen.meter_id)
    if rows != [(raw, 0) for raw in meter.signed]:
        yield f"meter {name}: {len(meter.signed)} signed, {len(rows)} stored, not the same"
    yield from (f"meter {name}: {text}" for text in meter.complaints)
    yield from _judge_intervals(campus, meter.pen.meter_id, [reading.decode(raw) for raw in meter.signed])


def _judge_firmware(campus: Campus, meter: FirmwareMeter) -> Iterator[str]:
    """What the firmware signed is known by its chain: each reading names the one before, so none can be missing."""
    name = meter.meter_id.hex()
    rows = campus.rows("SELECT raw, refusal FROM readings WHERE meter_id = ? ORDER BY sequence", meter.meter_id)
    stored = [reading.decode(raw) for raw, _ in rows]
    counted = [one for one, (_, refusal) in zip(stored, rows, strict=True) if not refusal]
    refused = {one.sequence: refusal for one, (_, refusal) in zip(stored, rows, strict=True) if refusal}
    late = {one.sequence: int(fault) for one in stored if (fault := find_fault(one, EPOCH_S)) is not None}
    if refused != late:  # on a busy machine a meter may get to its boundary too late, which its own time says
        yield f"meter {name}: refused are {refused}, by the readings' own times it should be {late}"
    if any(after.previous != before.hash[:8] for before, after in pairwise(stored)):
        yield f"meter {name}: the chain of what is stored is broken"
    energies = [energy for one in stored if (energy := one.register(ENERGY_IMPORT)) is not None]
    if energies != sorted(energies) or not set(energies) <= set(meter.line.told_wh):
        yield f"meter {name}: energies fall, or its line never told them: {energies}"
    yield from _judge_intervals(campus, meter.meter_id, counted)


def _judge_intervals(campus: Campus, meter_id: bytes, readings: list[Reading]) -> Iterator[str]:
    """Hold what the API says against the registers in the readings themselves."""
    boundaries = [(one.epoch, one.register(ENERGY_IMPORT) or 0) for one in readings if one.epoch is not None]
    if len(boundaries) < 2:
        return
    said = campus.intervals(meter_id, boundaries[0][0], boundaries[-1][0] - 1)
    found = [(one["epoch"], one["epochs"], one["import_wh"]) for one in said]
    true = [(first, last - first, after - before) for (first, before), (last, after) in pairwise(boundaries)]
    if found != true:
        yield f"meter {meter_id.hex()}: intervals {found} are not what its registers did: {true}"


def _judge_store(campus: Campus) -> Iterator[str]:
    if (state := campus.rows("PRAGMA quick_check(1)")) != [("ok",)]:
        yield f"the database is damaged: {state}"
    for table in ("evidence", "quarantine"):
        if rows := campus.rows(f"SELECT refusal, hex(raw) FROM {table}"):
            yield f"{table} holds what no fault explains: {rows}"
    if odd := campus.rows(
        "SELECT meter_id, epoch, count(*) FROM readings WHERE epoch IS NOT NULL AND refusal = 0 AND NOT EXISTS"
        " (SELECT 1 FROM outbox WHERE reading = readings.id)"
    )[0][2]:
        yield f"{odd} boundary readings are not on their way to the ledger"
