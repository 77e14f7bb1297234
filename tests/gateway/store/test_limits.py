"""What no meter may make grow without end: evidence and flags have a limit each, and what goes is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.checks.alarms import AlarmCode, Finding, Verdict
from gateway.intake.refusals import RefusalCode
from gateway.store import checks as check_file
from gateway.store import readings as reading_file
from gateway.store.checks import CheckStore
from gateway.store.database import Database
from gateway.store.queries import Queries
from gateway.store.readings import Admission, Batch, ReadingStore
from ledger import reading
from ledger.reading import VerifiedReading
from tests.gateway.plant import Pen


async def test_the_first_evidence_against_a_meter_stays_and_what_comes_beyond_the_limit_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_file, "EVIDENCE_OF_ONE", 3)
    database = await Database.open(tmp_path / "gateway.sqlite")
    store = ReadingStore(database)
    noisy, quiet = Pen(), Pen()
    signed = [admit(noisy) for _ in range(4)]
    await store.commit(Batch(evidence=[*signed, signed[0], admit(quiet)]), {}, 1)
    await store.commit(Batch(evidence=[admit(noisy)]), {}, 2)
    kept = await database.query("SELECT hash FROM evidence WHERE meter_id = ? ORDER BY id", (noisy.meter_id,))
    assert [row["hash"] for row in kept] == [one.hash for one in signed[:3]]
    assert len(await database.query("SELECT * FROM evidence WHERE meter_id = ?", (quiet.meter_id,))) == 1
    assert (await Queries(database).counters())["evidence_dropped"] == 2
    assert store.counts[RefusalCode.FORK.counter] == 7
    await database.close()


async def test_the_oldest_flags_of_a_meter_go_beyond_the_limit_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_file, "MAX_FLAGS_OF_METER", 3)
    database = await Database.open(tmp_path / "gateway.sqlite")
    checks = CheckStore(database)
    await checks.record([find(b"m" * 8, epoch) for epoch in range(5)] + [find(b"n" * 8, 0)], 0, 1)
    assert list(await checks.flags({b"m" * 8, b"n" * 8}, range(9))) == [
        (b"n" * 8, 0, 1), *((b"m" * 8, epoch, 1) for epoch in (2, 3, 4)),
    ]  # fmt: skip
    counted = await Queries(database).counters()
    assert (counted["flags"], counted["flags_dropped"]) == (6, 2)
    await database.close()


def admit(pen: Pen) -> Admission:
    made = reading.decode(pen.sign())
    return Admission(VerifiedReading(pen.meter_id, made), made.hash, RefusalCode.FORK)


def find(meter_id: bytes, epoch: int) -> Verdict:
    return Verdict(
        meter_id, epoch, AlarmCode.RATED_POWER, Finding(meter_id, epoch, 1, AlarmCode.RATED_POWER, {"import_wh": 1})
    )
