"""Key files: one Ed25519 seed as 64 hex digits and a newline, readable by the owner only."""

from __future__ import annotations

import secrets
from pathlib import Path

from ledger.keys import SEED_BYTES, PrivateKey
from provisioning import files
from provisioning.errors import DirectoryError


def make(path: Path) -> PrivateKey:
    """Make a new key from the system's randomness, write it to *path*, and return it; never overwrites a key."""
    if path.exists():
        raise DirectoryError(f"{path} exists: a key is never overwritten. Remove it yourself if it may go.")
    key = PrivateKey(secrets.token_bytes(SEED_BYTES))
    files.write_secret(path, key.seed.hex() + "\n")
    return key


def read(path: Path) -> PrivateKey:
    """Return the key in the file *path*; raises DirectoryError, which never shows the file's content."""
    text = files.read_text(path)
    if len(text) != 2 * SEED_BYTES + 1 or text != text.lower() or not text.endswith("\n"):
        raise DirectoryError(f"{path} is not a key file: it holds {2 * SEED_BYTES} lower-case hex digits and a newline")
    try:
        return PrivateKey(bytes.fromhex(text))
    except ValueError as error:
        raise DirectoryError(f"{path} is not a key file: it holds {2 * SEED_BYTES} lower-case hex digits") from error
