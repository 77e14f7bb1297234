"""What survives a simulated power cut, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from ledger.block import Commit
from ledger.consensus.messages import Message, Slot, Statement


@dataclass(slots=True)
class Disk:
    """A node's durable state. Records are written at once but lie in the cache until the next `commit`."""

    chain: list[tuple[bytes, Commit]] = field(default_factory=list)
    sign_state: dict[Slot, Message] = field(default_factory=dict)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    log: list[Message] = field(default_factory=list)
    _cached: list[Message] = field(default_factory=list)

    @property
    def height(self) -> int:
        """The height in progress."""
        return len(self.chain) + 1

    def record(self, message: Message) -> None:
        """Write a record of the log of inputs, not synced."""
        self._cached.append(message)

    def commit(self, own: Message | None = None) -> None:
        """Make everything written so far durable, together with an own message."""
        if own is not None:
            self.sign_state[own.statement.slot] = own
        self.log += self._cached
        self._cached.clear()

    def signed(self, statement: Statement) -> Message | None:
        """Return what this node signed for the statement's slot."""
        return self.sign_state.get(statement.slot)

    def decide(self, block: bytes, commit: Commit) -> None:
        """Append a decided block durably and forget the log of its height; what was signed stays."""
        self.chain.append((block, commit))
        self.blocks.clear()
        self._cached.clear()
        self.log.clear()

    def cut_power(self, random: Random) -> None:
        """Lose what was not synced, or a part of it: the cache is written in order, up to some record."""
        self.log += self._cached[: random.randint(0, len(self._cached))]
        self._cached.clear()

    def restored_log(self) -> tuple[Message, ...]:
        """Return own messages of the height in progress, then its log of inputs."""
        own = [message for slot, message in sorted(self.sign_state.items()) if slot[0] == self.height]
        return (*own, *self.log)
