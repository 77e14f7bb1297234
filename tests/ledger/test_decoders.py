"""A sample of the hostile campaign: no decoder crashes, none takes long, and what it accepts has one encoding."""

from __future__ import annotations

from tests.ledger.hostile import NAMES, attack, targets

CASES = 300


def test_hostile_bytes_are_refused_in_good_order() -> None:
    assert tuple(target.name for target in targets()) == NAMES
    for target in targets():
        violations, counts = attack(target, 0, CASES)
        assert violations == []
        assert counts[f"{target.name}.accepted"] >= 1
        assert counts[f"{target.name}.refused"] >= CASES // 4, target.name
