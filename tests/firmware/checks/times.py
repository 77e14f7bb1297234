"""What time servers say, and which of them is followed. Runs on every interpreter."""

from meter import agreement, sntp
from meter.errors import MalformedError


def answer(case: list) -> object:
    """Return what is made of *case*: [an answer in hex, the nonce in hex], or [[[offset, error], ...], own]."""
    if isinstance(case[0], str):
        try:
            return list(sntp.parse(bytes.fromhex(case[0]), bytes.fromhex(case[1])))
        except MalformedError as error:
            return str(error)
    verdict = agreement.reach([agreement.Word(str(place), *word) for place, word in enumerate(case[0])], case[1])
    return verdict and list(verdict)
