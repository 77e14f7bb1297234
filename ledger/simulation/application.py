"""What the simulated nodes agree on: a port, and the smallest application behind it, a chain of hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ledger import cbor
from ledger.authority import AuthoritySet
from ledger.block import NO_HASH, Commit, commit_hash
from ledger.errors import MalformedError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block as the network sees it."""

    block_id: bytes
    time_ms: int
    raw: bytes


class Application(Protocol):
    """One node's state machine. The simulated shell calls it exactly as the real one calls the runtime."""

    def authorities(self, height: int) -> AuthoritySet:
        """Return the set in force at *height*, which is at most one above the last applied block."""

    def build(
        self, height: int, time_ms: int, proposer: int, last_commit: Commit | None, evidence: tuple[bytes, ...]
    ) -> Candidate:
        """Return a valid block on the current state, with what of *evidence* belongs in it."""

    def read(self, raw: bytes) -> Candidate:
        """Return what *raw* is; raises MalformedError."""

    def is_valid(self, height: int, raw: bytes) -> bool:
        """Execute a block on the current state without keeping the result; tell whether it is valid."""

    def apply(self, raw: bytes) -> None:
        """Execute a decided block for good."""

    def sabotage(self, candidate: Candidate) -> Candidate:
        """Return a well-formed but invalid block in the place of *candidate*: what a Byzantine proposer sends."""

    @property
    def chain_id(self) -> bytes:
        """The 8 bytes that messages carry."""

    @property
    def last_time_ms(self) -> int:
        """The time of the last applied block."""

    @property
    def root(self) -> bytes:
        """The state root: equal on all nodes that applied the same blocks."""


ApplicationFactory = Callable[[AuthoritySet], Application]


@dataclass(slots=True)
class Chained:
    """The trivial application: its state is a hash over all blocks applied.

    A block is [height, parent id, time, proposer, last-commit hash, evidence, state root after the block].
    """

    members: AuthoritySet
    chain_id: bytes = b"simulate"
    parent: bytes = NO_HASH
    _root: bytes = NO_HASH
    _last_time_ms: int = 0
    _blocks: list[bytes] = field(default_factory=list)

    @property
    def last_time_ms(self) -> int:
        """The time of the last applied block."""
        return self._last_time_ms

    @property
    def root(self) -> bytes:
        """A hash over all blocks applied."""
        return self._root

    def authorities(self, height: int) -> AuthoritySet:
        """Return the one set that this chain ever has."""
        if height > len(self._blocks) + 2:
            raise ValueError(f"the set of height {height} is not known after {len(self._blocks)} blocks")
        return self.members

    def build(
        self, height: int, time_ms: int, proposer: int, last_commit: Commit | None, evidence: tuple[bytes, ...]
    ) -> Candidate:
        """Return the next block."""
        head = [height, self.parent, time_ms, proposer, commit_hash(last_commit), list(evidence)]
        return self.read(cbor.encode([*head, self._root_after(head)]))

    def read(self, raw: bytes) -> Candidate:
        """Return the candidate; raises MalformedError."""
        values = cbor.decode(raw)
        if type(values) is not list or len(values) != 7 or type(values[2]) is not int:
            raise MalformedError("not a block of the simulated chain")
        return Candidate(hashlib.sha256(raw).digest(), values[2], raw)

    def is_valid(self, height: int, raw: bytes) -> bool:
        """Check height, parent link, growing time and the root."""
        *head, root = cbor.decode(raw)
        fits = head[:2] == [height, self.parent] and head[2] > self._last_time_ms
        return bool(fits and root == self._root_after(head))

    def apply(self, raw: bytes) -> None:
        """Make the block the new head."""
        *head, self._root = cbor.decode(raw)
        self.parent, self._last_time_ms = hashlib.sha256(raw).digest(), head[2]
        self._blocks.append(raw)

    def sabotage(self, candidate: Candidate) -> Candidate:
        """Return the block with a wrong root."""
        *head, root = cbor.decode(candidate.raw)
        return self.read(cbor.encode([*head, bytes(byte ^ 1 for byte in root)]))

    def _root_after(self, head: list[cbor.Value]) -> bytes:
        return hashlib.sha256(self._root + cbor.encode(head)).digest()
