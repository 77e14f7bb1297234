"""Hostile bytes for everything that the meter hears. Runs on every interpreter."""

from tests.firmware import fuzz


def answer(case: list) -> list:
    """Return what was violated in case[1] cases from number case[0] on."""
    return fuzz.run(case[0], case[1])
