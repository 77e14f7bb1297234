"""A sample of the hostile campaign: no decoder crashes, none takes long, and what it accepts has one encoding."""

from __future__ import annotations

import pytest

from tests.ledger.hostile import Target, attack, targets

CASES = 400


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_hostile_bytes_are_refused_in_good_order(target: Target) -> None:
    violations, counts = attack(target, 0, CASES)
    assert violations == []
    assert counts[f"{target.name}.accepted"] >= 1
    assert counts[f"{target.name}.refused"] >= CASES // 4
