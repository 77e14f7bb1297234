"""A report never calls a success what was not measured as one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil import custody
from hil.conservation import Conservation
from hil.custody import Custody
from hil.errors import DemoError
from hil.report import Proof, Report, ReportedMeter
from hil.resources.meter_process import MeterLog, MeterProcess
from ledger.api.resources import BlockSummary
from tests.hil.books import make_books

METER = b"M" * 8


def make_report() -> Report:
    block = BlockSummary(9, bytes(32), 1, bytes(32), bytes(32), 3, ())
    return Report(
        custody=Custody(5, 5, 0, (), (), ()),
        counted_twice=0,
        refused=0,
        meters=(ReportedMeter("4d", "eastron_sdm120", "micropython 1.25.0"),),
        epochs=tuple(make_books().epochs),
        blocks={"ERC": block, "MEA": block},
        finality_ms={"p50": 100, "p95": 200},
        conservation=Conservation(True, True, True, ()),
        proof=Proof("report.tlog-proof", "report.vkeys", True, "verified"),
        duration_s=60,
    )


def test_a_good_run_has_no_failures_and_every_field(tmp_path: Path) -> None:
    make_report().write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert set(content) == {
        "readings", "meters", "epochs", "ledger", "conservation", "proof", "duration_s", "failures",
    }  # fmt: skip
    assert content["failures"] == []
    assert content["ledger"]["nodes"][0] == {"name": "ERC", "height": 9, "state_root": "00" * 32}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"custody": Custody(5, 4, 0, ((METER, 3),), (), ())}, "1 signed readings are not stored"),
        ({"custody": Custody(5, 5, 0, (), ((METER, 3),), ())}, "counted twice"),
        ({"custody": Custody(5, 6, 0, (), (), ((METER, 9),))}, "never signed"),
        ({"counted_twice": 1}, "counted twice"),
        ({"epochs": ()}, "no epoch matched"),
        ({"conservation": Conservation(True, False, True, ("money: gone",))}, "not conserved: money: gone"),
        ({"proof": Proof("p", "k", False, "cosignature 2 is bad")}, "refused: cosignature 2 is bad"),
        ({"finality_ms": {"p50": None, "p95": None}}, "finality"),
    ],
)
def test_every_shortcoming_is_a_failure(changes: dict[str, Any], text: str) -> None:
    failures = replace(make_report(), **changes).failures
    assert any(text in failure for failure in failures)


def test_nodes_that_differ_at_one_height_are_a_failure() -> None:
    report = make_report()
    odd = replace(report.blocks["ERC"], state_root=b"x" * 32)
    assert replace(report, blocks={**report.blocks, "MEA": odd}).failures == ["the ledger nodes differ at one height"]


def meter_that_said(*events: dict[str, Any]) -> MeterProcess:
    meter = MeterProcess(METER, "oven", ["true"], Path("config.json"))
    for event in events:
        meter.log.note(json.dumps(event).encode())
    return meter


def store_with(path: Path, *sequences: int) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE readings (meter_id BLOB, sequence INTEGER, refusal INTEGER)")
        database.executemany("INSERT INTO readings VALUES (?, ?, 0)", [(METER, number) for number in sequences])
    return path


@pytest.mark.parametrize(
    ("stored", "lost", "duplicated", "invented"),
    [((1, 2, 3), 0, 0, 0), ((1, 3), 1, 0, 0), ((1, 2, 2, 3), 0, 1, 0), ((1, 2, 3, 4), 0, 0, 1)],
)
def test_both_ends_are_counted_by_number(
    tmp_path: Path, stored: tuple[int, ...], lost: int, duplicated: int, invented: int
) -> None:
    meter = meter_that_said(
        *({"event": "signed", "sequence": n, "reason": "periodic", "epoch": None} for n in (1, 2, 3))
    )
    found = custody.compare([meter], {METER: 3}, store_with(tmp_path / "store.sqlite", *stored))
    assert (len(found.lost), len(found.duplicated), len(found.invented)) == (lost, duplicated, invented)
    assert found.signed == 3


def test_a_number_that_a_meter_signed_twice_is_found(tmp_path: Path) -> None:
    meter = meter_that_said({"event": "signed", "sequence": 1}, {"event": "signed", "sequence": 1})
    found = custody.compare([meter], {METER: 1}, store_with(tmp_path / "store.sqlite", 1))
    assert found.duplicated == ((METER, 1),)


def test_a_store_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="cannot read the gateway's database"):
        custody.compare([], {}, tmp_path / "absent.sqlite")


def test_what_a_meter_says_that_is_no_event_is_kept_as_an_error() -> None:
    log = MeterLog()
    for line in (b"Traceback (most recent call last):", b"[1]", b"{}", b'{"event": "signed"}', b"\xff"):
        log.note(line)
    assert len(log.errors) == 5
