"""The authorities of a chain: who votes, in which order, and how many are enough."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from ledger import cbor
from ledger.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Authority:
    """One institution: an 8-byte account id, a name, and public keys for votes, cosignatures and its log."""

    id: bytes
    name: str
    vote_key: bytes
    cosign_key: bytes
    log_key: bytes

    def fields(self) -> list[cbor.Value]:
        """Return the authority as a canonical array."""
        return [self.id, self.name, self.vote_key, self.cosign_key, self.log_key]


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
"""Fit for the key names of signed notes, for certificates and for folders."""


def require_name(name: str) -> None:
    """Raise LedgerError where *name* is none that an authority may have."""
    if _NAME.fullmatch(name) is None:
        raise LedgerError(f"authority name {name!r} is not 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'")


@dataclass(frozen=True, slots=True)
class AuthoritySet:
    """The authorities in force, ordered by id; an authority's index is its place here. Weights are equal."""

    members: tuple[Authority, ...]

    def __post_init__(self) -> None:
        ids = [member.id for member in self.members]
        if not ids or ids != sorted(set(ids)):
            raise LedgerError("an authority set is not empty and its members ascend by id")
        for name in ("vote_key", "cosign_key", "log_key", "name"):
            if len({getattr(member, name) for member in self.members}) != len(ids):
                raise LedgerError(f"two authorities share one {name.replace('_', ' ')}")
        for member in self.members:
            require_name(member.name)
        if len({key for member in self.members for key in (member.vote_key, member.cosign_key, member.log_key)}) != (
            3 * len(ids)
        ):
            raise LedgerError("one key serves two purposes; make separate keys for votes, cosignatures and the log")

    def __len__(self) -> int:
        return len(self.members)

    @property
    def faults(self) -> int:
        """f: how many of them may be Byzantine."""
        return (len(self.members) - 1) // 3

    @property
    def quorum(self) -> int:
        """Q = floor(2n/3) + 1."""
        return 2 * len(self.members) // 3 + 1

    @property
    def weak_quorum(self) -> int:
        """W = floor(n/3) + 1: at least one of them is correct."""
        return len(self.members) // 3 + 1

    @property
    def hash(self) -> bytes:
        """The 32-byte set hash of block headers; covers every key."""
        return hashlib.sha256(cbor.encode([member.fields() for member in self.members])).digest()

    def proposer(self, height: int, round_: int) -> int:
        """Return the index of the proposer of *round_* at *height*."""
        return (height + round_) % len(self.members)
