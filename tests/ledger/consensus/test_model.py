"""The locking rule as a SPIN model: no state of two rounds decides two values, and every wrong rule forks.

Three rounds are a campaign of the soak (`ledger.model_three_rounds`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.consensus.model import search

ALL_STATES_OF_TWO_ROUNDS = 59_482
MUTANTS = [
    "IGNORE_LOCK", "NO_PROOF_OF_LOCK", "NEVER_LOCK", "UNLOCK", "FORGET_IN_A_CRASH", "QUORUM=2", "PRECOMMIT_UNPROVEN",
    "VOTE_AGAIN",
]  # fmt: skip


def test_two_rounds_decide_one_value_whatever_the_network_and_a_byzantine_authority_do(tmp_path: Path) -> None:
    found = search(tmp_path, "ROUNDS=2", optimize="-O2")
    assert (found.errors, found.is_complete) == (0, True)
    assert found.states == ALL_STATES_OF_TWO_ROUNDS, "the model lets something else happen than it did"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_rule_forks_within_two_rounds(tmp_path: Path, mutant: str) -> None:
    assert search(tmp_path, "ROUNDS=2", mutant).errors == 1


def test_comparing_the_lock_with_the_round_in_progress_forks_but_shows_only_with_three_rounds(tmp_path: Path) -> None:
    assert search(tmp_path, "ROUNDS=2", "COMPARE_ROUND").errors == 0
    assert search(tmp_path, "ROUNDS=3", "COMPARE_ROUND").errors == 1
