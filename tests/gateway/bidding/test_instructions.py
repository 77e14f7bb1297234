"""What a user may say to an agent, and how it answers when it does not understand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bidding.instructions import SENTENCES, InstructionError, Instructions, Source, Trade, parse, write
from ledger.genesis import MAX_PRICE_UAIP_PER_KWH

SIDES = st.none() | st.just(Trade.NOTHING) | st.integers(0, MAX_PRICE_UAIP_PER_KWH)
SAID = st.builds(Instructions, SIDES, SIDES, st.none() | st.integers(0, 100), st.none() | st.sampled_from(list(Source)))


def test_every_sentence_is_understood_to_the_last_digit() -> None:
    said = parse(
        ["Sell surplus at 3.20 or more", "buy what is  needed up to 4.100001", "keep 20%", "follow the forecast"]
    )
    assert said == Instructions(3_200_000, 4_100_001, 20, Source.FORECAST)
    assert parse(["sell nothing", "buy nothing", "follow the last interval"]) == Instructions(
        Trade.NOTHING, Trade.NOTHING, None, Source.LAST_INTERVAL
    )
    assert parse([]) == Instructions()


@given(SAID, st.randoms(use_true_random=False))
def test_what_is_written_is_read_as_the_same_in_any_order(said: Instructions, order: st.DataObject) -> None:
    lines = write(said)
    order.shuffle(lines)  # type: ignore[attr-defined]
    assert parse(lines) == said
    assert write(parse(lines)) == write(said)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", 'the end should be "sell" or "buy" or "keep" or "follow"'),
        ("give it away", 'word 1, "give", should be "sell" or "buy" or "keep" or "follow"'),
        ("sell surplus for 3.20", 'word 3, "for", should be "at"'),
        ("sell everything", 'word 2, "everything", should be "surplus" or "nothing"'),
        ("sell surplus at 3.20", 'the end should be "or"'),
        ("sell surplus at -1 or more", 'word 4, "-1", should be a price in AIP per kWh such as 3.20'),
        ("sell surplus at 3,20 or more", 'word 4, "3,20", should be a price'),
        ("sell surplus at 1e3 or more", 'word 4, "1e3", should be a price'),
        ("sell surplus at \u0663 or more", "should be a price"),
        ("sell surplus at 3.2000001 or more", "of six decimals at most"),
        ("buy what is needed up to 1000.000001", "1000.000001 is above the highest price of any ledger, 1000.00"),
        ("buy nothing today", 'word 3, "today", should be the end'),
        ("keep 101 %", 'word 2, "101", should be a whole number from 0 to 100'),
        ("follow the last minute", 'word 4, "minute", should be "interval"'),
    ],
)
def test_a_line_that_is_not_understood_is_quoted_with_the_word_and_what_could_be_there(line: str, fault: str) -> None:
    with pytest.raises(InstructionError) as error:
        parse([line])
    text = str(error.value)
    assert text.startswith(f'"{line}": ')
    assert fault in text
    assert "\n" not in text
    if "highest" not in fault:
        assert all(sentence in text for sentence in SENTENCES)


def test_two_lines_on_one_subject_are_refused() -> None:
    with pytest.raises(InstructionError, match='"sell nothing": another line says already what to sell; leave one'):
        parse(["sell surplus at 3.20 or more", "sell nothing"])


def test_a_line_that_is_too_long_is_refused_without_being_shown_whole() -> None:
    with pytest.raises(InstructionError, match="100 characters at most") as error:
        parse(["sell " * 1000])
    assert len(str(error.value)) < 200


@given(st.text())
def test_any_text_is_either_understood_or_refused(line: str) -> None:
    try:
        assert parse(write(parse([line]))) == parse([line])
    except InstructionError as error:
        assert len(str(error)) < 1000
