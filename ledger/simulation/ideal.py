"""Signatures in a simulation: a table of what was signed stands for Ed25519, or Ed25519 itself.

The core knows the check of a signature as an argument, so it cannot tell the two apart. The table is what proofs call
an ideal signature: nobody signs with a key but through `sign`, and every altered byte is noticed. It costs a hash.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from ledger.consensus import messages
from ledger.consensus.messages import Message, Statement
from ledger.envelope import assemble
from ledger.keys import PrivateKey


class Signatures(Protocol):
    """One chain's signatures."""

    def sign(self, statement: Statement, sender: int, key: PrivateKey) -> Message:
        """Return *statement* signed with *key*, whose index in the set is *sender*."""

    def is_signed_by(self, vote_key: bytes, payload: bytes, signature: bytes) -> bool:
        """Tell whether *signature* is *vote_key*'s over an envelope with *payload*."""


class Real:
    """Ed25519, as the real node uses it."""

    def __init__(self, chain_id: bytes) -> None:
        self._chain_id = chain_id

    def sign(self, statement: Statement, sender: int, key: PrivateKey) -> Message:
        """Return the signed message."""
        return messages.sign(statement, self._chain_id, sender, key)

    def is_signed_by(self, vote_key: bytes, payload: bytes, signature: bytes) -> bool:
        """Check with libsodium."""
        return messages.is_signed_by(vote_key, payload, signature)


class Ideal:
    """A table of all signatures ever made in a run."""

    def __init__(self, chain_id: bytes) -> None:
        self._chain_id = chain_id
        self._made: dict[bytes, tuple[bytes, bytes]] = {}
        self._key_ids: dict[PrivateKey, bytes] = {}

    def sign(self, statement: Statement, sender: int, key: PrivateKey) -> Message:
        """Return the message with a signature that nobody else could have made."""
        payload = statement.payload(self._chain_id)
        signature = hashlib.blake2b(payload, key=key.seed, digest_size=64).digest()
        self._made[signature] = key.public_key, payload
        key_id = self._key_ids.get(key) or self._key_ids.setdefault(key, key.key_id)
        return Message(statement, sender, assemble(key_id, payload, signature))

    def is_signed_by(self, vote_key: bytes, payload: bytes, signature: bytes) -> bool:
        """Look it up."""
        return self._made.get(signature) == (vote_key, payload)
