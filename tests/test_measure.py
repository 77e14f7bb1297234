"""The bench keeps what it missed, the soak goes on where it stopped, and neither leaves half a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.measure import Row, at_least, at_most, beside
from tests.soak import __main__ as soak
from tests.soak import envelopes
from tests.soak.campaigns import Campaign

PART = "tests.test_measure"


def missed() -> Iterator[Row]:
    """Yield one bar that holds and one that does not."""
    yield at_least("missed.rate", 9_000, "1/s", 10_000)
    yield at_most("missed.time", 12, "ms", 15)


def standing() -> Iterator[Row]:
    """Yield a figure that stands beside others."""
    yield beside("standing.rate", 9_000, "1/s")


def crashing() -> Iterator[Row]:
    """Yield a row and fail."""
    yield at_most("crashing.time", 1, "ms", 15)
    raise RuntimeError("the part fails")


def hanging() -> Iterator[Row]:
    """Yield a row and never come back."""
    yield at_most("hanging.time", 1, "ms", 15)
    threading.Event().wait()


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let bench and soak write into the test's folder."""
    monkeypatch.setattr(bench, "RESULT", tmp_path / "bench.json")
    monkeypatch.setattr(soak, "RESULT", tmp_path / "soak.json")
    return tmp_path


def run_parts(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    parts = {name: f"{PART}:{name}" for name in names}
    command = f"import sys; from tests.bench import __main__ as b; b.PARTS = {parts}; sys.exit(b.main(sys.argv[1:]))"
    monkeypatch.setattr(bench, "PARTS", parts)
    monkeypatch.setattr(bench, "CHILD", ("-c", command))


def test_a_bar_that_is_missed_stays_in_the_list(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_parts(monkeypatch, "missed")
    assert bench.main([]) == 0
    assert json.loads((result / "bench.json").read_text()) == [
        {"name": "missed.rate", "value": 9000, "unit": "1/s", "bar": 10000, "holds": False},
        {"name": "missed.time", "value": 12, "unit": "ms", "bar": 15, "holds": True},
    ]


def test_a_figure_without_a_bar_neither_holds_nor_misses_one(
    result: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_parts(monkeypatch, "standing")
    assert bench.main([]) == 0
    assert json.loads((result / "bench.json").read_text())[0]["bar"] is None
    assert capsys.readouterr().out.split() == ["standing.rate", "9,000", "1/s", "-", "no", "bar"]


def test_a_part_that_fails_is_in_the_list_and_costs_the_others_nothing(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_parts(monkeypatch, "crashing", "missed")
    assert bench.main([]) == 1
    rows = json.loads((result / "bench.json").read_text())
    assert [(row["name"], row["holds"]) for row in rows] == [
        ("crashing.time", True), ("crashing", False), ("missed.rate", False), ("missed.time", True)
    ]  # fmt: skip


def test_a_part_that_hangs_is_ended_at_its_limit(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_parts(monkeypatch, "hanging")
    monkeypatch.setattr(bench, "PART_LIMIT_S", 2)
    assert bench.main([]) == 1
    rows = json.loads((result / "bench.json").read_text())
    assert rows[-1] == {"name": "hanging", "value": None, "unit": "not done after 2 s", "bar": None, "holds": False}


def test_a_prefix_picks_rows_and_a_wrong_one_lists_the_names(
    result: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_parts(monkeypatch, "missed")
    assert bench.main(["missed.t"]) == 0
    assert [row["name"] for row in json.loads((result / "bench.json").read_text())] == ["missed.time"]
    capsys.readouterr()
    assert bench.main(["mised"]) == 2
    assert capsys.readouterr().err == "no part of the bench begins with 'mised': there are missed\n"


def test_a_soak_goes_on_where_it_stopped(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def run_unit(number: int) -> list[str]:
        if number == 3 and 3 not in ran:
            ran.append(3)
            raise KeyboardInterrupt
        ran.append(number)
        return ["a promise is broken"] if number == 1 else []

    monkeypatch.setattr(soak, "CAMPAIGNS", (Campaign("part.promise", 5, run_unit),))
    assert soak.main([]) == 130
    assert json.loads((result / "soak.json").read_text())[0]["done"] == 3
    assert soak.main(["part"]) == 1
    assert ran == [0, 1, 2, 3, 3, 4]
    assert json.loads((result / "soak.json").read_text()) == [
        {"name": "part.promise", "done": 5, "target": 5, "violations": 1}
    ]


def test_units_that_run_side_by_side_are_noted_in_their_order(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "CAMPAIGNS", (Campaign("part.altered", 6, envelopes.alter_reading, is_parallel=True),))
    assert soak.main([]) == 0
    assert json.loads((result / "soak.json").read_text())[0]["done"] == 6


def test_a_wrong_campaign_lists_the_names(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["nothing"]) == 2
    assert "there are ledger.altered_readings" in capsys.readouterr().err
    assert list(result.iterdir()) == []


def test_no_altered_reading_is_taken_for_genuine() -> None:
    assert envelopes.alter_reading(0) == []
