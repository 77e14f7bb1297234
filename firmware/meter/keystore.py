"""The meter's signing key: made on the device from its random source, kept in its storage, never shown."""

from meter import ed25519
from meter.envelope import Key
from meter.errors import KeyLossError

_NAME = "key"


def load_or_make(storage, board):
    """Return the Key in *storage*; where there is none, a new one is made and stored first."""
    if _NAME not in storage.names():
        storage.replace(_NAME, board.secret_bytes(ed25519.SEED_BYTES).hex().encode() + b"\n")
    return load(storage)


def load(storage):
    """Return the Key in *storage*; raises KeyLossError where it is not there, or damaged."""
    if _NAME not in storage.names():
        raise KeyLossError(
            "the meter's key is gone: restore it, or make a new one with `enrol` and enrol the meter anew"
        )
    return Key(_seed(storage.read(_NAME)))


def card(settings, key, board):
    """Return what the campus must know of the meter that *settings* configure, as a dict."""
    return {"meter_id": settings.meter_id.hex(), "public_key": key.public.hex(), "interpreter": board.INTERPRETER}


def _seed(content):
    text = content.strip()
    if len(content) != 2 * ed25519.SEED_BYTES + 1 or not all(digit in b"0123456789abcdef" for digit in text):
        raise KeyLossError("the meter's key file is damaged: restore it, or remove it and enrol the meter anew")
    return bytes.fromhex(text.decode())
