"""Of several time servers the honest majority is followed, a liar is outvoted, and doubt changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter.agreement import Word, reach

HOUR_MS = 3_600_000
WORDS = {
    "a": Word("a", 1000, 10), "b": Word("b", 1012, 10), "c": Word("c", 995, 20), "near": Word("near", 1100, 10),
    "lie": Word("lie", HOUR_MS, 10), "other lie": Word("other lie", -HOUR_MS, 10),
}  # fmt: skip
NEVER_SET = None
RIGHT = (1005, 50)
ROUGH = (900, 300_000)  # a board's clock at start
WRONG = (1000 + HOUR_MS // 2, 1000)


@pytest.mark.parametrize(
    ("said", "own", "agreeing"),
    [
        ("a b c", NEVER_SET, "a b c"),
        ("a b lie", NEVER_SET, "a b"),
        ("a b lie", WRONG, "a b"),
        ("lie a b", RIGHT, "a b"),
        ("a lie other lie", NEVER_SET, None),
        ("a lie other lie", RIGHT, None),  # two witnesses of four
        ("a b lie other lie", NEVER_SET, None),
        ("a b lie other lie", RIGHT, "a b"),
        ("a b", NEVER_SET, "a b"),
        ("a b", WRONG, "a b"),  # two are a majority over the clock
        ("a lie", NEVER_SET, None),
        ("a lie", RIGHT, "a"),  # the clock decides
        ("a lie", WRONG, None),
        ("a near", ROUGH, None),  # a clock that cannot tell them apart does not
        ("a", NEVER_SET, "a"),
        ("a", RIGHT, "a"),
        ("a", ROUGH, "a"),
        ("lie", ROUGH, None),  # alone, an hour from a clock that is set
        ("lie", RIGHT, None),
    ],
)
def test_who_is_followed(said: str, own: tuple[int, int] | None, agreeing: str | None) -> None:
    names = [name for name in WORDS if name in said.replace("other lie", "") or (name == "other lie" and name in said)]
    verdict = reach([WORDS[name] for name in names], own)
    if agreeing is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.agreeing == agreeing.split()
        assert verdict.outvoted == [name for name in names if name not in agreeing.split()]


def test_nobodys_word_is_no_verdict() -> None:
    assert reach([], RIGHT) is None
    assert reach([], NEVER_SET) is None


def test_the_verdict_is_what_all_that_agree_have_in_common() -> None:
    verdict = reach([WORDS["a"], WORDS["b"], WORDS["c"]], NEVER_SET)
    assert (verdict.offset_ms - verdict.error_ms, verdict.offset_ms + verdict.error_ms) in [(1002, 1010), (1002, 1011)]


@given(
    st.lists(st.tuples(st.integers(-300, 300), st.integers(10, 400)), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(-(10**7), 10**7), st.integers(10, 400)), max_size=3),
    st.booleans(),
)
def test_an_honest_majority_is_never_led_astray_by_liars(
    honest: list[tuple[int, int]], liars: list[tuple[int, int]], is_set: bool
) -> None:
    words = [Word(f"honest {n}", max(-error, min(offset, error)), error) for n, (offset, error) in enumerate(honest)]
    words += [Word(f"liar {n}", offset, error) for n, (offset, error) in enumerate(liars[: len(honest) - 1])]
    verdict = reach(words, (0, 50) if is_set else None)
    assert verdict is not None
    furthest = max(word.error_ms for word in words[: len(honest)])
    assert abs(verdict.offset_ms) <= 2 * furthest
    assert len(verdict.agreeing) > len(words) / 2
