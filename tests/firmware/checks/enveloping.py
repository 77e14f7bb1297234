"""COSE_Sign1: the Sig_structure of a published example is signed; an envelope is opened. Runs on every interpreter."""

from meter import ed25519, envelope
from meter.errors import MalformedError


def answer(case: list) -> list:
    """Return the signature of seed case[0] over case[1], and why the envelope case[2] is refused, or its payload."""
    seed, signed, sealed = [bytes.fromhex(text) for text in case]
    try:
        opened = envelope.parse(sealed)[1].hex()
    except MalformedError as error:
        opened = str(error)
    return [ed25519.sign(seed, signed).hex() if seed else "", opened]
