"""Ed25519: keys and signatures from seeds. Runs on every interpreter."""

from meter import ed25519


def answer(case: list) -> list:
    """Return the public key of seed case[0]; the signature of case[1], the key worked out and given; two verdicts.

    The verdicts are those on the signature with the message, and with another one.
    """
    seed, message = [bytes.fromhex(text) for text in case]
    public = ed25519.public_key(seed)
    signature = ed25519.sign(seed, message, public)
    verdicts = [ed25519.verify(public, other, signature) for other in (message, message + b"!")]
    return [public.hex(), ed25519.sign(seed, message).hex(), signature.hex()] + verdicts
