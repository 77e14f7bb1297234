"""The hash chain, against a slow and obvious twin."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.refusals import EXPLANATIONS, FIRST_SIGNED_CODE, RefusalCode
from gateway.intake.sequence import MAX_REFUSED_LISTED, Chain, Link, advance, find_fault, place
from ledger import reading
from tests.gateway.plant import EPOCH_S, Pen


def make_links(steps: list[int]) -> list[Link]:
    """Return a chain whose numbers rise by *steps*."""
    links, number, previous = [], 0, bytes(32)
    for step in steps:
        number += step
        digest = random.Random(number).randbytes(32)
        links.append(Link(number, digest, previous[:8]))
        previous = digest
    return links


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_in_whatever_order_readings_come_the_head_is_the_longest_linked_run(
    steps: list[int], order: random.Random
) -> None:
    links = make_links(steps)
    arrivals = order.sample(links, len(links))
    chain, stored = Chain(), set()
    for link in arrivals:
        stored.add(link)
        above = sorted((other for other in stored if other.sequence > chain.head), key=lambda other: other.sequence)
        chain = advance(chain, above)
        complete = next((index for index, other in enumerate(links) if other not in stored), len(links))
        assert chain.head == (links[complete - 1].sequence if complete else 0)
        assert chain.highest == max(other.sequence for other in stored)
        assert chain.is_waiting == (chain.head != chain.highest)
    assert (chain.head, chain.head_hash) == (links[-1].sequence, links[-1].hash)


def test_a_link_to_another_past_never_moves_the_head() -> None:
    chain = advance(Chain(), make_links([1, 1]))
    assert advance(chain, [Link(3, b"x" * 32, b"y" * 8)]).head == 2


def test_only_identical_bytes_may_take_a_stored_number() -> None:
    chain = Chain(5, b"h" * 32, 9)
    assert place(chain, Link(5, b"x" * 32, b"p" * 8), b"h" * 32) is RefusalCode.FORK
    assert place(chain, Link(4, b"x" * 32, b"p" * 8), None) is RefusalCode.OFF_CHAIN
    assert place(chain, Link(4, b"x" * 32, bytes(8)), None) is RefusalCode.RESET
    assert place(chain, Link(7, b"x" * 32, b"p" * 8), None) is None


def test_receipts_list_only_the_newest_refused_numbers() -> None:
    refused = [(number, 16) for number in range(1, 30)]
    assert advance(Chain(), [], refused).refused == tuple(refused[-MAX_REFUSED_LISTED:])


def test_a_boundary_reading_must_be_taken_at_its_boundary() -> None:
    pen = Pen()
    for late_s in range(-4, 5):
        fault = None if abs(late_s) <= 2 else RefusalCode.BOUNDARY_TIME
        raw = pen.sign(epoch=100, time_=100 * EPOCH_S + late_s)
        assert find_fault(reading.decode(raw), EPOCH_S) is fault
    assert find_fault(reading.decode(pen.sign(epoch=100, time_=100 * 900 + 9)), 900) is None
    assert find_fault(reading.decode(pen.sign()), EPOCH_S) is None


def test_every_reason_has_a_text_and_a_next_step() -> None:
    for code in RefusalCode:
        explanation = EXPLANATIONS[code]
        assert explanation.text.endswith(".")
        assert explanation.next_step.endswith((".", "?"))
        assert code.is_signed == (code >= FIRST_SIGNED_CODE)
    assert set(EXPLANATIONS) == set(RefusalCode)


def removed(links: list[Link], first: int, last: int) -> reading.Thinned:
    """Return what a meter signs when it gives up the links at places *first* to *last*."""
    gone = links[first : last + 1]
    return reading.Thinned(gone[0].sequence, gone[-1].sequence, len(gone), gone[0].previous, gone[-1].hash)


def test_the_chain_goes_on_over_what_the_meter_signed_for_as_removed() -> None:
    links = make_links([1] * 12)
    kept = links[:2] + links[5:6] + links[9:]
    runs = [removed(links, 2, 4), removed(links, 6, 7), removed(links, 8, 8)]
    assert advance(Chain(), kept, (), runs).head == 12
    assert advance(Chain(), kept, (), runs[:2]).head == 6
    assert advance(Chain(), kept, (), runs[1:]).head == 2
    assert advance(Chain(), links[:4] + links[5:6], (), runs).head == 6  # some of the run came before it was removed


def test_a_reading_that_was_not_signed_for_as_removed_is_still_missed() -> None:
    links = make_links([1] * 12)
    runs = [removed(links, 2, 4)]
    assert advance(Chain(), links[:1] + links[5:], (), runs).head == 1
    assert advance(Chain(), links[:2] + links[6:], (), runs).head == 2
