"""Secrets that are shown once: links, sessions, API keys. The store keeps an id to find them by, and a digest.

A token is `cgl_`, `cgs_` or `cgk_`, 12 hex digits that name the row, `_`, and 256 random bits. A plain SHA-256 is
enough for the digest: nobody guesses 256 bits, unlike a password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"(cg[lsk])_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


class Kind(StrEnum):
    """What a token is for."""

    LINK = "cgl"
    SESSION = "cgs"
    KEY = "cgk"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `id` and `digest` (32 bytes) may be stored, `text` never."""

    id: str
    digest: bytes
    text: str

    def matches(self, stored: bytes) -> bool:
        """Tell in constant time whether *stored* is this token's digest."""
        return hmac.compare_digest(self.digest, stored)


def make(kind: Kind) -> Token:
    """Return a new token of *kind*."""
    return _token(kind, secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES))


def parse(kind: Kind, text: str) -> Token | None:
    """Return the token that *text* is, or None if it is no token of *kind*."""
    found = _FORM.fullmatch(text)
    if found is None or found[1] != kind:
        return None
    return _token(kind, found[2], found[3])


def _token(kind: Kind, token_id: str, secret: str) -> Token:
    return Token(token_id, hashlib.sha256(secret.encode()).digest(), f"{kind}_{token_id}_{secret}")
