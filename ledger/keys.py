"""Ed25519 keys (RFC 8032) through libsodium, the one library whose verdict counts in consensus."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_ID_BYTES: Final = 8


def thumbprint(public_key: bytes) -> bytes:
    """Return the 32-byte SHA-256 that names *public_key* on the ledger."""
    return hashlib.sha256(public_key).digest()


@lru_cache(maxsize=8_192)
def key_id(public_key: bytes) -> bytes:
    """Return the 8-byte COSE `kid` of *public_key*: the head of its thumbprint."""
    return thumbprint(public_key)[:KEY_ID_BYTES]


class Signer(Protocol):
    """A private key wherever it is kept: in memory (`PrivateKey`), or in a token that signs (`node.signers.hsm`)."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that others know the key by."""

    @property
    def key_id(self) -> bytes:
        """The 8-byte COSE `kid` of this key."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of *message*."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An Ed25519 key pair made from a 32-byte seed; the seed never shows in its repr."""

    seed: bytes = field(repr=False)
    public_key: bytes = field(init=False)
    _secret: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(self.seed)}")
        public_key, secret = sodium.crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public_key", public_key)
        object.__setattr__(self, "_secret", secret)

    @property
    def key_id(self) -> bytes:
        """The 8-byte COSE `kid` of this key."""
        return key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of *message*."""
        return sodium.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether *signature* (64 bytes) over *message* was made with *public_key* (32 bytes)."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        sodium.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True
