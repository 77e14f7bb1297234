"""What the simulated nodes agree on: a port, and the smallest application behind it, a chain of hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ledger import cbor
from ledger.authority import AuthoritySet
from ledger.block import NO_HASH, Commit, commit_hash
from ledger.errors import MalformedError

HEIGHTS_UNTIL_IN_FORCE: Final = 2
"""A change of the set that block h executes is in force at h + 2 (LEDGER rule 16)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block as the network sees it."""

    block_id: bytes
    time_ms: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Blocks read, and the verdicts on them by (state root before, block)."""

    read: dict[bytes, tuple[Candidate, list[cbor.Value]]]
    valid: dict[tuple[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Membership:
    """The set at genesis, and the one that a block of height `at_height` or later changes it to (None: it stays).

    `memory` is what the nodes of one run need work out only once.
    """

    genesis: AuthoritySet
    at_height: int = 0
    later: AuthoritySet | None = None
    memory: Memory = field(default_factory=lambda: Memory({}, {}), compare=False)


class Application(Protocol):
    """One node's state machine. The simulated shell calls it exactly as the real one calls the runtime."""

    def authorities(self, height: int) -> AuthoritySet:
        """Return the set in force at *height*, which is at most two above the last applied block."""

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

    def pending_evidence(self, raw: bytes, evidence: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return what of *evidence* still proves something once the decided block *raw* is applied."""

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


ApplicationFactory = Callable[[Membership], Application]


@dataclass(slots=True)
class Chained:
    """The trivial application: its state is a hash over all blocks applied, and the set of authorities.

    A block is [height, parent id, time, proposer, last-commit hash, evidence, whether it changes the set, state root
    after the block].
    """

    membership: Membership
    chain_id: bytes = b"simulate"
    parent: bytes = NO_HASH
    height: int = 0
    _changed_at: int | None = None
    _root: bytes = NO_HASH
    _last_time_ms: int = 0

    @property
    def last_time_ms(self) -> int:
        """The time of the last applied block."""
        return self._last_time_ms

    @property
    def root(self) -> bytes:
        """A hash over all blocks applied."""
        return self._root

    def authorities(self, height: int) -> AuthoritySet:
        """Return the set in force."""
        if height > self.height + HEIGHTS_UNTIL_IN_FORCE:
            raise ValueError(f"the set of height {height} is not known after {self.height} blocks")
        later = self.membership.later
        is_changed = self._changed_at is not None and height >= self._changed_at + HEIGHTS_UNTIL_IN_FORCE
        return later if is_changed and later is not None else self.membership.genesis

    def build(
        self, height: int, time_ms: int, proposer: int, last_commit: Commit | None, evidence: tuple[bytes, ...]
    ) -> Candidate:
        """Return the next block."""
        time_ms = max(time_ms, self._last_time_ms + 1)
        head = [height, self.parent, time_ms, proposer, commit_hash(last_commit), list(evidence), self._may_change]
        return self.read(cbor.encode([*head, self._root_after(head)]))

    def read(self, raw: bytes) -> Candidate:
        """Return the candidate; raises MalformedError."""
        return self._read(raw)[0]

    def is_valid(self, height: int, raw: bytes) -> bool:
        """Check height, parent link, growing time, the change of the set and the root."""
        known = self.membership.memory.valid.get((self._root, raw))
        if known is None:
            *head, root = self._read(raw)[1]
            fits = head[:2] == [height, self.parent] and head[2] > self._last_time_ms and head[6] == self._may_change
            known = bool(fits and root == self._root_after(head))
            self.membership.memory.valid[self._root, raw] = known
        return known

    def apply(self, raw: bytes) -> None:
        """Make the block the new head."""
        candidate, (*head, self._root) = self._read(raw)
        self.height = head[0]
        if head[6]:
            self._changed_at = self.height
        self.parent, self._last_time_ms = candidate.block_id, candidate.time_ms

    def pending_evidence(self, raw: bytes, evidence: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return what the block does not hold."""
        held = self._read(raw)[1][5]
        return tuple(one for one in evidence if one not in held)

    def sabotage(self, candidate: Candidate) -> Candidate:
        """Return the block with a wrong root."""
        *head, root = cbor.decode(candidate.raw)
        return self.read(cbor.encode([*head, bytes(byte ^ 1 for byte in root)]))

    def _read(self, raw: bytes) -> tuple[Candidate, list[cbor.Value]]:
        known = self.membership.memory.read.get(raw)
        if known is None:
            values = cbor.decode(raw)
            if type(values) is not list or len(values) != 8 or type(values[2]) is not int:
                raise MalformedError("not a block of the simulated chain")
            known = Candidate(hashlib.sha256(raw).digest(), values[2], raw), values
            self.membership.memory.read[raw] = known
        return known

    @property
    def _may_change(self) -> bool:
        membership = self.membership
        is_due = membership.later is not None and self.height + 1 >= membership.at_height
        return is_due and self._changed_at is None

    def _root_after(self, head: list[cbor.Value]) -> bytes:
        return hashlib.sha256(self._root + cbor.encode(head)).digest()
