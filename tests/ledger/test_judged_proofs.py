"""A sample of what `make soak` judges at length."""

from __future__ import annotations

from tests.ledger import judged_proofs


def test_what_ours_accepts_an_outside_judge_accepts_too() -> None:
    counts = judged_proofs.campaign(range(300))
    print(dict(sorted(counts.items())))
    assert judged_proofs.find_violations(counts) == []
    assert counts.keys() >= judged_proofs.EXPECTED
