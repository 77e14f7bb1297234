"""Counts every reading twice, once where it was signed and once where it is stored, and compares the two."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.errors import DemoError
from hil.resources.meter_process import MeterProcess
from ledger import reading
from ledger.reading import Reading

Number = tuple[bytes, int]
"""A reading's natural key: meter id and sequence number."""


@dataclass(frozen=True, slots=True)
class Custody:
    """What became of the readings that the meters say they signed."""

    signed: int
    stored: int
    refused: int
    lost: tuple[Number, ...]
    duplicated: tuple[Number, ...]
    invented: tuple[Number, ...]


def compare(meters: Iterable[MeterProcess], counts: Mapping[bytes, int], store: Path) -> Custody:
    """Compare the meters' own account with the gateway's database *store*.

    *counts* is each meter's last word on how many readings it signed; the sequence numbers are from its events.
    """
    signed = {(meter.meter_id, sequence) for meter in meters for sequence in meter.log.signed}
    twice = {(meter.meter_id, sequence) for meter in meters for sequence in meter.log.signed_twice}
    rows = _query(store, "SELECT meter_id, sequence, refusal FROM readings")
    stored = Counter((meter_id, sequence) for meter_id, sequence, _ in rows)
    return Custody(
        signed=sum(counts.values()),
        stored=len(stored),
        refused=sum(1 for _, _, refusal in rows if refusal),
        lost=tuple(sorted(signed - set(stored))),
        duplicated=tuple(sorted(twice | {number for number, times in stored.items() if times > 1})),
        invented=tuple(sorted(set(stored) - signed)),
    )


def boundary_readings(store: Path) -> dict[bytes, Reading]:
    """Return the good boundary readings in the gateway's database *store* by hash, decoded from what was signed."""
    rows = _query(store, "SELECT raw FROM readings WHERE epoch IS NOT NULL AND refusal = 0")
    found = (reading.decode(raw) for (raw,) in rows)
    return {item.hash: item for item in found}


def _query(store: Path, statement: str) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return list(database.execute(statement))
    except sqlite3.Error as error:
        raise DemoError(f"cannot read the gateway's database {store}: {error}") from error
