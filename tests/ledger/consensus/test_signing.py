"""A node that forgot what it signed: the rule that lets it sign again, tried in every small world."""

from __future__ import annotations

import itertools

import pytest

from ledger.consensus.signing import first_height_to_sign

HEIGHT = 3
"""The last height at which the node signed, which it forgot."""
LIES = (1, HEIGHT, 100)


def worst(count: int, needed: int) -> int:
    """Return how many worlds let the node, number 0 of *count*, sign again at HEIGHT or below.

    A quorum decided HEIGHT - 1, and those of it that are correct say so; the other correct ones may have missed it. f
    authorities say what they like. *needed* of the others answer, and the node copied the chain up to some height.
    """
    faults, quorum = (count - 1) // 3, 2 * count // 3 + 1
    bad = set(range(1, 1 + faults))
    found = 0
    for others in itertools.combinations(range(1, count), quorum - 1):
        truth = {one: HEIGHT - 1 if one in others else 1 for one in range(1, count) if one not in bad}
        for answering in itertools.combinations(range(1, count), needed):
            liars = [one for one in answering if one in bad]
            for lies in itertools.product(LIES, repeat=len(liars)):
                reported = [(truth | dict(zip(liars, lies, strict=True)))[one] for one in answering]
                for own in range(1, HEIGHT + 1):
                    signs_from = first_height_to_sign(own, reported, needed)
                    found += signs_from is not None and signs_from <= HEIGHT
    return found


@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_q_answers_are_enough_and_w_of_four_are_not(count: int) -> None:
    quorum, faults = 2 * count // 3 + 1, (count - 1) // 3
    assert worst(count, quorum) == 0
    assert worst(count, count - quorum + faults) > 0, "the check sees what it is there for"
    assert count > 4 or count - quorum + faults == count // 3 + 1


def test_a_node_waits_for_a_quorum_that_it_has_caught_up_with() -> None:
    assert first_height_to_sign(7, [7, 8, 7], 3) is None
    assert first_height_to_sign(8, [7, 8, 7], 3) == 10
    assert first_height_to_sign(8, [7, 8], 3) is None
