"""Ed25519: verdicts on signatures that others made. Runs on every interpreter."""

from meter import ed25519


def answer(case: list) -> bool:
    """Tell whether *case*, (public key, message, signature) in hex, holds."""
    return ed25519.verify(*[bytes.fromhex(text) for text in case])
