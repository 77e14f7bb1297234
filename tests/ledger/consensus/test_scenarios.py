"""Each scenario file is a bug that somebody shipped, and what this core does instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.consensus.scenario import FOLDER, play

SCENARIOS = sorted(FOLDER.glob("*.txt"))


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 15


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_goes_as_written(path: Path) -> None:
    text = path.read_text()
    assert play(text) == text
