"""Each scenario file is a bug that somebody shipped, and what this core does instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.consensus.scenario import FOLDER, play

SCENARIOS = sorted(FOLDER.glob("*.txt"))
TESTS = Path(__file__).parents[2]
SHIPPED = {
    "quorum 2f + 1 where n is not 3f + 1": "quorum-of-five",
    "unlocking at every round change": "lock-held-until-newer-prevotes",
    "signing another block between commit and new head": "decided-until-the-new-head",
    "a re-proposed block whose id contains the round": "same-block-proposed-again",
    "a quorum restarting with empty data blocks for ever": "nothing-to-say",
    "exponential timeouts": "timeouts-grow-by-a-step",
    "unbounded storage of future-round messages": "far-rounds-are-not-hoarded",
    "catch-up blocks dropped when out of order": (
        "ledger/node/test_sync.py",
        "what_came_is_used_in_order_and_only_the_rest",
    ),
    "a re-proposal refused because its time is now old": "re-proposal-has-no-clock",
    "nodes locked in different views with no unlock": "locked-in-different-rounds",
    "last-sign state lost by a rename without directory sync": "own-key-used-elsewhere",
    "double sign after kill -9": "restart-remembers",
    "voting while sync commits another block": "certificate-while-voting",
    "off-by-one in the double-sign look-back": "restart-remembers-every-round",
    "duplicate or absent signatures counted in a certificate": "a-signature-counts-once",
    "evidence with one bogus signature slashing an innocent": (
        "ledger/consensus/test_evidence.py",
        "one_bogus_signature_convicts_nobody",
    ),
    "an index out of range in a vote halting the chain": "a-signature-counts-once",
    "two timers scheduled at once": "timers-once",
    "a safety run that passed because nothing was decided": (
        "ledger/simulation/test_command.py",
        "a_batch_in_which_too_little_happened_is_a_failure",
    ),
}
"""Bug -> the scenario that shows its opposite, or the test (file, name) where it is not the core that had the bug."""


def test_every_bug_that_others_shipped_has_its_scenario_or_its_test() -> None:
    names = {path.stem for path in SCENARIOS}
    for bug, shown_by in SHIPPED.items():
        if isinstance(shown_by, str):
            assert shown_by in names, bug
        else:
            file, name = shown_by
            assert f"def test_{name}" in (TESTS / file).read_text(), bug


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_goes_as_written(path: Path) -> None:
    text = path.read_text()
    assert play(text) == text
