"""What survives a simulated power cut, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from ledger.block import Commit
from ledger.consensus import signing
from ledger.consensus.messages import Message, Slot, Statement
from ledger.consensus.signing import Signature
from ledger.keys import SIGNATURE_BYTES


class DiskFull(Exception):  # noqa: N818 - it is what happens, not an error
    """Nothing can be made durable; whoever cannot write must not speak."""


@dataclass(slots=True)
class Disk:
    """A node's durable state. Records are written at once but lie in the cache until the next `commit`."""

    chain: list[tuple[bytes, Commit]] = field(default_factory=list)
    sign_state: dict[Slot, tuple[Signature, Message]] = field(default_factory=dict)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    evidence: list[bytes] = field(default_factory=list)
    log: list[Message] = field(default_factory=list)
    is_full: bool = False
    _cached: list[Message] = field(default_factory=list)

    @property
    def height(self) -> int:
        """The height in progress."""
        return len(self.chain) + 1

    def record(self, message: Message) -> None:
        """Write a record of the log of inputs, not synced."""
        self._cached.append(message)

    def sign(self, statement: Statement, fresh: Message) -> Message:
        """Make an own message durable with everything written so far; return the one to send.

        It is the stored one where the same was signed before; raises DoubleSigningError, DiskFull.
        """
        stored = self.sign_state.get(statement.slot)
        signature = Signature(fresh.raw[:-SIGNATURE_BYTES], fresh.raw)
        chosen = signing.choose(stored[0] if stored else None, signature, str(statement.slot))
        self._sync()
        self.sign_state[statement.slot] = stored or (chosen, fresh)
        return stored[1] if stored else fresh

    def keep_evidence(self, evidence: bytes) -> None:
        """Keep evidence until a block holds it."""
        if evidence not in self.evidence:
            self.evidence.append(evidence)

    def decide(self, block: bytes, commit: Commit, evidence: tuple[bytes, ...]) -> None:
        """Append a decided block durably and forget the log of its height; what was signed stays. Raises DiskFull.

        *evidence* is what still waits for a block.
        """
        self._sync()
        self.chain.append((block, commit))
        self.blocks.clear()
        self.log.clear()
        self.evidence = list(evidence)

    def copy(self) -> Disk:
        """Return a backup: what is durable now."""
        return Disk(
            list(self.chain),
            dict(self.sign_state),
            dict(self.blocks),
            list(self.evidence),
            list(self.log),
            self.is_full,
        )

    def cut_power(self, random: Random) -> None:
        """Lose what was not synced, or a part of it: the cache is written in order, up to some record."""
        self.log += self._cached[: random.randint(0, len(self._cached))]
        self._cached.clear()

    def restored_log(self) -> tuple[Message, ...]:
        """Return own messages of the height in progress, then its log of inputs."""
        own = [message for slot, (_, message) in sorted(self.sign_state.items()) if slot[0] == self.height]
        return (*own, *self.log)

    def _sync(self) -> None:
        if self.is_full:
            raise DiskFull
        self.log += self._cached
        self._cached.clear()
