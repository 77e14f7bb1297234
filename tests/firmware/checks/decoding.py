"""Numbers out of register words. Runs on every interpreter."""

from meter import registers


def answer(case: list) -> object:
    """Return the whole part, as text, of the number in *case*: [type, words in hex, exponent]; None for no number."""
    kind, words, exponent = case
    value = registers.exact(kind, bytes.fromhex(words), exponent)
    return None if value is None else str(registers.truncate(*value))
