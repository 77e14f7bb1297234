"""SHA-512: the one that signs, native where there is an emitter, and its plain twin. Runs on every interpreter."""

from meter.sha512 import sha512
from meter.sha512_plain import hash_blocks


def answer(length: int) -> list:
    """Return both digests of *length* bytes."""
    data = bytes([7 * place & 255 for place in range(length)])
    padded = data + b"\x80" + bytes((111 - length) % 128) + (8 * length).to_bytes(16, "big")
    return [sha512(data).hex(), hash_blocks(padded).hex()]
