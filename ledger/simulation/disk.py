"""What survives a simulated power cut, and what does not: SQLite's write-ahead log with synchronous = FULL.

What belongs together is one transaction. Until it is asked for, its parts are in memory alone and unsynced bytes are
lost. Power may fail while it is written: then its tail is torn, recovery cuts it off and the state is that of the last
commit, or all of it had reached the disk already, though nobody was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from ledger.block import Commit
from ledger.consensus import signing
from ledger.consensus.messages import Message, Slot, Statement
from ledger.consensus.signing import Signature
from ledger.keys import SIGNATURE_BYTES


class DiskFull(Exception):  # noqa: N818 - it is what happens, not an error
    """Nothing can be made durable; whoever cannot write must not speak."""


def _never_fails() -> None:
    pass


@dataclass(slots=True)
class Disk:
    """A node's durable state. `power` is called in the middle of each commit, and raises where it fails there."""

    chain: list[tuple[bytes, Commit]] = field(default_factory=list)
    sign_state: dict[Slot, tuple[Signature, Message]] = field(default_factory=dict)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    evidence: list[bytes] = field(default_factory=list)
    log: list[Message] = field(default_factory=list)
    is_full: bool = False
    power: Callable[[], None] = _never_fails
    _records: list[Message] = field(default_factory=list)
    _candidates: dict[bytes, bytes] = field(default_factory=dict)
    _in_flight: Callable[[], None] | None = None

    @property
    def height(self) -> int:
        """The height in progress."""
        return len(self.chain) + 1

    def record(self, message: Message) -> None:
        """Keep a record of the log of inputs for the next commit."""
        self._records.append(message)

    def keep_block(self, block_id: bytes, block: bytes) -> None:
        """Keep a block that was built or found valid for the next commit."""
        self._candidates[block_id] = block

    def sign(self, statement: Statement, fresh: Message) -> Message:
        """Make an own message durable with all that led to it; return the one to send.

        It is the stored one where the same was signed before; raises DoubleSigningError, DiskFull.
        """
        stored = self.sign_state.get(statement.slot)
        signature = Signature(fresh.raw[:-SIGNATURE_BYTES], fresh.raw)
        chosen = signing.choose(stored[0] if stored else None, signature, str(statement.slot))
        promised = stored or (chosen, fresh)
        records, self._records = self._records, []
        candidates, self._candidates = self._candidates, {}

        def write() -> None:
            self.log += records
            self.blocks |= candidates
            self.sign_state[statement.slot] = promised

        self._commit(write)
        return promised[1]

    def keep_evidence(self, evidence: bytes) -> None:
        """Keep evidence until a block holds it. Raises DiskFull."""
        if evidence not in self.evidence:
            self._commit(lambda: self.evidence.append(evidence))

    def decide(self, block: bytes, commit: Commit, evidence: tuple[bytes, ...]) -> None:
        """Append a decided block durably and forget the log of its height; what was signed stays. Raises DiskFull.

        *evidence* is what still waits for a block.
        """
        self._records, self._candidates = [], {}

        def write() -> None:
            self.chain.append((block, commit))
            self.blocks.clear()
            self.log.clear()
            self.evidence = list(evidence)

        self._commit(write)

    def copy(self) -> Disk:
        """Return a backup: what is durable now, on a disk of its own that has room."""
        return Disk(
            list(self.chain), dict(self.sign_state), dict(self.blocks), list(self.evidence), list(self.log)
        )  # fmt: skip

    def cut_power(self, random: Random, faults: Counter[str]) -> None:
        """Lose what was not committed; of what was being written, all or nothing is there. Count which in *faults*."""
        write, self._in_flight = self._in_flight, None
        self._records, self._candidates = [], {}
        if write is None:
            return
        if random.random() < 0.5:
            faults["torn commit"] += 1
        else:
            faults["commit nobody was told of"] += 1
            write()

    def restored_log(self) -> tuple[Message, ...]:
        """Return own messages of the height in progress, then its log of inputs."""
        own = [message for slot, (_, message) in sorted(self.sign_state.items()) if slot[0] == self.height]
        return (*own, *self.log)

    def _commit(self, write: Callable[[], None]) -> None:
        if self.is_full:
            raise DiskFull
        self._in_flight = write
        self.power()
        self._in_flight = None
        write()
