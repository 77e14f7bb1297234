"""The verdict of `why-stuck` for each way in which a ledger is held up, or is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.api.condition import MISSING, AuthorityCondition, Condition, NilVote
from ledger.node.reporting.nils import NilReason
from ledger.stuck import find_cause

NAMES = ("ERC", "MEA", "PEA", "EGAT")


def authority(name: str, **changes: object) -> AuthorityCondition:
    good = AuthorityCondition(
        name, name == "ERC", True, 7, 0, "prevote", 300, 300, 1, MISSING, MISSING, (), ()
    )  # fmt: skip
    return replace(good, **changes)  # type: ignore[arg-type]


WELL = Condition(
    bytes(8), "ERC", 0, 7, 0, "prevote", "MEA", 3, 1, None, True, 1, 200, 200, tuple(map(authority, NAMES)), ()
)  # fmt: skip


def nil(reason: str, round_: int = 0) -> NilVote:
    return NilVote(7, round_, "prevote", 0, reason, f"text of {reason}")


def change(**changes: object) -> Condition:
    return replace(WELL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "is_stuck", "words"),
    [
        (WELL, False, "height 7 has been in progress for 0.2 s"),
        (change(has_work=False, height_age_ms=10**6), False, "nothing waits"),
        (change(alarm="the disk is full"), True, "ERC signs no more: the disk is full"),
        (change(authorities=tuple(authority(name, height=90) for name in NAMES)), True, "while others are at 90"),
        (
            change(
                authorities=(
                    *map(authority, NAMES[:2]), authority("PEA", report_age_ms=61_000),
                    authority("EGAT", report_age_ms=None),
                )
            ),
            True,
            "2 of 4 authorities take part, 3 are needed: PEA (silent for 61 s), EGAT (never heard)",
        ),
        (
            change(round=3, nils=(nil("no_proposal"), nil("invalid_block", 1), nil("invalid_block", 2))),
            True,
            "round 3: ERC's prevote of round 2 was nil because text of invalid_block",
        ),
        (change(height_age_ms=60_000), True, "height 7 has been in progress for 60.0 s"),
    ],
)  # fmt: skip
def test_what_holds_a_ledger_up_is_named(condition: Condition, is_stuck: bool, words: str) -> None:
    cause = find_cause([condition])
    assert cause.is_stuck is is_stuck
    assert words in cause.text
    assert cause.next_step


def test_one_peer_that_claims_to_be_far_ahead_is_not_believed() -> None:
    liar = change(authorities=(*map(authority, NAMES[:3]), authority("EGAT", height=10**6)))
    assert not find_cause([liar]).is_stuck


def test_a_peer_that_only_observes_counts_as_absent() -> None:
    absent = change(authorities=(*map(authority, NAMES[:3]), authority("EGAT", report_age_ms=None)))
    observer = change(name="PEA", signs_from=9)
    assert "PEA (observes until height 9)" in find_cause([absent, observer]).text


@pytest.mark.parametrize("reason", NilReason)
def test_each_reason_for_a_nil_has_something_to_do_about_it(reason: NilReason) -> None:
    cause = find_cause([change(round=1, nils=(nil(reason.value),))])
    assert cause.is_stuck
    assert cause.next_step
    assert "{" not in cause.next_step
