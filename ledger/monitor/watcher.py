"""Follows a log: each checkpoint must be signed by those who may, and continue the one before. A fork is kept for good.

The watcher takes nobody's word: who may sign follows from a policy, or from a chain's first authorities by hand-over
certificates; that the log only grew, from its tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ledger import handover, merkle, policy, tiles
from ledger.authority import AuthoritySet
from ledger.errors import LedgerError, MalformedError
from ledger.handover import Eras, HandoverRefusedError
from ledger.monitor import witness
from ledger.monitor.fork import SignedCheckpoint
from ledger.monitor.memory import HANDOVERS, WitnessMemory
from ledger.monitor.remote_log import RemoteLog
from ledger.monitor.witness import Verdict
from ledger.policy import Policy, PolicyRefusedError
from ledger.trust import TrustRoot


class WatchError(LedgerError):
    """A checkpoint that is not taken: it is not signed as it must be, or not shown to continue the one before."""


class Signers(Protocol):
    """Who may sign a log's checkpoints."""

    def policy(self, size: int, /) -> Policy:
        """Return the policy for the checkpoint of *size* leaves."""

    def refresh(self, log: RemoteLog, /) -> bool:
        """Learn of later changes; tell whether there were any."""


@dataclass(frozen=True, slots=True)
class FixedSigners:
    """A policy that holds for every checkpoint."""

    one: Policy

    def policy(self, _size: int, /) -> Policy:
        """Return the policy."""
        return self.one

    def refresh(self, _log: RemoteLog, /) -> bool:
        """Return False: nothing changes."""
        return False


class ChainSigners:
    """The authorities of a chain, as they hand over; the certificates are remembered."""

    def __init__(self, root: TrustRoot, memory: WitnessMemory) -> None:
        """Start from *root* and the certificates in *memory*; raises HandoverRefusedError, MalformedError."""
        self._chain_id, self._first = root.chain_id, root.authorities
        self._memory = memory
        self._eras = _walk(self._chain_id, self._first, memory.read(HANDOVERS))

    def policy(self, size: int, /) -> Policy:
        """Return the policy of the set that cosigns logs of *size* leaves."""
        return policy.of_keys(self._eras.verifiers(size))

    def refresh(self, log: RemoteLog, /) -> bool:
        """Take the log's certificates where they lead further than those remembered; raises WatchError for bad ones."""
        data = log.handovers()
        try:
            found = _walk(self._chain_id, self._first, data)
        except (MalformedError, HandoverRefusedError) as error:
            raise WatchError(f"the log's hand-over certificates are refused: {error}") from error
        if len(found.eras) <= len(self._eras.eras):
            return False
        self._memory.write(HANDOVERS, data)
        self._eras = found
        return True


def _walk(chain_id: bytes, first: AuthoritySet, data: bytes | None) -> Eras:
    return handover.walk(chain_id, first, () if data is None else handover.parse_all(data, chain_id))


class Watcher:
    """Compares what a log shows with what is remembered of it."""

    def __init__(self, log: RemoteLog, signers: Signers, memory: WitnessMemory) -> None:
        self._log, self.signers, self.memory = log, signers, memory

    def look(self) -> str:
        """Look at the log once and return what was found, in a sentence.

        Raises RemoteLogError or WatchError for what may pass, ForkFoundError once there is evidence of two histories.
        """
        offered = self._log.checkpoint()
        self._require_signed(offered)
        with self.memory.lock:
            self.memory.require_no_fork()
            remembered, note = self.memory.remembered, offered.checkpoint
            if remembered is None:
                self.memory.remember(offered)
                return f"begins with {note.size} leaves"
            self._compare(remembered, offered)
            if note.size > remembered.checkpoint.size:
                self.memory.remember(offered)
                return f"grew from {remembered.checkpoint.size} to {note.size} leaves"
            return f"has {note.size} leaves, {remembered.checkpoint.size} were seen; they agree"

    def _require_signed(self, offered: SignedCheckpoint) -> None:
        try:
            self.signers.policy(offered.checkpoint.size).check(offered.checkpoint, offered.lines)
        except PolicyRefusedError as error:
            if not self.signers.refresh(self._log):
                raise WatchError(str(error)) from error
            self._require_signed(offered)

    def _compare(self, remembered: SignedCheckpoint, offered: SignedCheckpoint) -> None:
        """Return if one of the two begins with the other; raises WatchError or ForkFoundError."""
        first, second = sorted((remembered, offered), key=lambda one: one.checkpoint.size)
        old, new = first.checkpoint, second.checkpoint
        nodes: tuple[bytes, ...] = ()
        if 0 < old.size < new.size:
            hash_of = tiles.hashes_in(self._log.reader(new.size))
            nodes = merkle.consistency_path(old.size, new.size, hash_of)
            if not old.size & (old.size - 1):
                nodes = (hash_of(0, old.size), *nodes)
        found = witness.find_fork(remembered, offered, nodes)
        if found is not None:
            self.memory.keep_fork(found)
        if witness.judge(old, new, _path(old.size, nodes)) is Verdict.UNPROVEN:
            raise WatchError(f"the log's tiles do not lead from its {old.size} leaves to its {new.size}")


def _path(old_size: int, nodes: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the consistency path in *nodes*, which RFC 6962 leaves the old root out of where it is a node."""
    return nodes if old_size & (old_size - 1) else nodes[1:]
