"""The soak's own promises: it goes on where it stopped, and what a campaign must count and never did fails it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.soak import __main__ as soak
from tests.soak.campaigns import Campaign
from tests.soak.tally import Tally


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the soak writes, in place of the real soak.json."""
    monkeypatch.setattr(soak, "RESULT", tmp_path / "soak.json")
    return tmp_path / "soak.json"


def test_what_must_be_counted_and_never_happened_fails_the_campaign(
    result: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = Campaign("x", 3, lambda number: Tally([], Counter(even=number % 2 == 0)), frozenset({"even", "odd"}))
    monkeypatch.setattr(soak, "CAMPAIGNS", (campaign,))
    assert soak.main([]) == 1
    assert "x: odd never happened" in capsys.readouterr().out
    (entry,) = json.loads(result.read_text())
    assert (entry["done"], entry["counts"]) == (3, {"even": 2})


def test_a_campaign_goes_on_where_it_stopped_and_keeps_its_counts(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def run_unit(number: int) -> Tally:
        ran.append(number)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return Tally([], Counter(ran=1))

    monkeypatch.setattr(soak, "CAMPAIGNS", (Campaign("x", 4, run_unit, frozenset({"ran"})),))
    assert soak.main([]) == 130
    assert soak.main([]) == 0
    assert ran == [0, 1, 2, 2, 3]
    (entry,) = json.loads(result.read_text())
    assert entry["counts"] == {"ran": 4}
