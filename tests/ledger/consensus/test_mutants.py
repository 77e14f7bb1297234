"""A sample of `make mutants`: mistakes in the core do not get through, and the catalogue fits the source."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tests.mutants.__main__ import hunt
from tests.mutants.catalogue import MUTANTS, NO_MISTAKE, Mutant

SAMPLE = [
    "compare the lock with the round in progress",
    "unlock at every round change",
    "Q is one less",
    "Q is 2f + 1",
    "send only to those behind",
    "come back with the oldest lock",
]


def named(start: str) -> Mutant:
    return next(mutant for mutant in MUTANTS if mutant.name.startswith(start))


def test_there_are_at_least_25_mistakes_and_each_has_its_line_in_the_source() -> None:
    mistakes = [mutant for mutant in MUTANTS if mutant is not NO_MISTAKE]
    assert len(mistakes) >= 25
    assert len({mutant.name for mutant in mistakes}) == len(mistakes)
    for mutant in MUTANTS:
        spec = find_spec(mutant.module)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).read_text().count(mutant.old) == 1, mutant.name
        assert (mutant.old != mutant.new) == (mutant is not NO_MISTAKE)


def test_mistakes_in_the_core_do_not_get_through() -> None:
    for verdict in hunt([named(start) for start in SAMPLE], workers=2):
        assert verdict.killer is not None, f"{verdict.mutant.name} lives"
