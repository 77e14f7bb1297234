"""Where the API's answers come from: a running node, or a process that reads its database beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ledger import keys
from ledger.api.resources import NodeStatus
from ledger.codes import Refusal
from ledger.genesis import Genesis
from ledger.node.admission import Admitted, Answer
from ledger.node.chain import Ledger
from ledger.node.heads import Heads
from ledger.node.mempool import PoolRefusal
from ledger.node.recovery.memory import DATABASE
from ledger.node.reporting import status
from ledger.node.service import Node
from ledger.node.signers import witnessing
from ledger.node.signers.cosigning import Provable
from ledger.node.storage.disk import DiskReader
from ledger.node.storage.store import Store

T = TypeVar("T")


class Rows(Protocol):
    """A database that is read."""

    async def read(self, query: Callable[[Store], T]) -> T:
        """Return what *query* reads from the newest committed state."""


class Source(Protocol):
    """What the routes know of whoever answers them. They read in the chain's thread or the store's, never in the loop.

    `log_key` signs checkpoints as whoever serves them, `provable` is the newest that a quorum has cosigned, `witnessed`
    the newest that witnesses have, too. `public_checkpoint` is the one of both that outsiders are shown.
    `shows_intervals`: to anybody.
    """

    @property
    def shows_intervals(self) -> bool: ...

    @property
    def genesis(self) -> Genesis: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def disk(self) -> Rows: ...

    @property
    def heads(self) -> Heads: ...

    @property
    def provable(self) -> Provable | None: ...

    @property
    def witnessed(self) -> Provable | None: ...

    @property
    def public_checkpoint(self) -> Provable | None: ...

    @property
    def log_key(self) -> keys.PrivateKey: ...

    async def describe(self) -> NodeStatus:
        """Return where the node stands."""

    async def submit(self, raw: bytes) -> Admitted | Refusal | PoolRefusal:
        """Take a transaction in."""

    async def submit_all(self, raws: Sequence[bytes]) -> list[Answer]:
        """Take transactions in; return what became of each, in their order."""

    async def is_waiting(self, transaction_id: bytes) -> bool:
        """Tell whether the transaction waits for a block here."""

    async def next_nonce(self, account: bytes) -> int:
        """Return the first nonce of *account* that no transaction which waits here has; 0 where none waits."""


class NodeSource:
    """A running node; its operator, who has its database, sees all of it."""

    def __init__(self, node: Node, *, for_operator: bool = False) -> None:
        self._node = node
        self.shows_intervals = for_operator or node.settings.api.intervals == "anybody"
        self.genesis, self.ledger, self.heads = node.genesis, node.ledger, node.heads
        self.disk = DiskReader.open(node.settings.data_dir / DATABASE, "api-read")

    def close(self) -> None:
        """Close the database that the API reads; the node's own stays open."""
        self.disk.close()

    @property
    def provable(self) -> Provable | None:
        """The newest checkpoint that a quorum has cosigned."""
        return self._node.cosigning.provable

    @property
    def witnessed(self) -> Provable | None:
        """The newest checkpoint that witnesses have cosigned, too."""
        return self._node.witnessing.witnessed

    @property
    def public_checkpoint(self) -> Provable | None:
        """The checkpoint that outsiders are shown."""
        return witnessing.served(self.provable, self.witnessed, time.time())

    @property
    def log_key(self) -> keys.PrivateKey:
        """The key under which this node serves its log."""
        return self._node.log_key

    async def describe(self) -> NodeStatus:
        """Return where the node stands right now."""
        return status.describe(self._node)

    async def submit(self, raw: bytes) -> Admitted | Refusal | PoolRefusal:
        """Take a transaction in and pass it on to the other authorities."""
        return await self._node.admit(raw)

    async def submit_all(self, raws: Sequence[bytes]) -> list[Answer]:
        """Take transactions in and pass them on to the other authorities; return what became of each."""
        return await self._node.admission.submit(raws)

    async def is_waiting(self, transaction_id: bytes) -> bool:
        """Tell whether the transaction waits for a block here."""
        return transaction_id in self._node.mempool

    async def next_nonce(self, account: bytes) -> int:
        """Return the first nonce of *account* that nothing which waits here has; 0 where nothing waits."""
        return self._node.mempool.next_nonce(account, 0)
