"""What a node keeps on disk, put together: `database` opens the file, each subject's tables have a file of their own.

Everything that belongs together is committed together: a block with its state rows, log leaves and transaction
results; the inputs of a consensus step with the signature that follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.node.storage.block_rows import TransactionResult
from ledger.node.storage.database import StoreError
from ledger.node.storage.log_rows import Leaf
from ledger.node.storage.pruned_rows import PrunedRows
from ledger.node.storage.sign_state import Signed, SignedType, SignState
from ledger.roots import Write

__all__ = ["Decision", "Leaf", "Signed", "SignedType", "Store", "StoreError", "TransactionResult"]

KEPT_SIGNED_HEIGHTS: Final = 1_000
"""How far back signatures are kept; nothing is ever signed again at a height whose block is stored here."""


@dataclass(frozen=True, slots=True)
class Decision:
    """All that a decided block changes, to be committed at once. A row whose value is None is deleted."""

    height: int
    block_id: bytes
    body: bytes
    commit: bytes
    head: bytes
    rows: Iterable[Write]
    first_leaf: int
    leaves: Sequence[Leaf]
    settlement_lines: Iterable[tuple[int, bytes, int]]
    readings: Iterable[tuple[bytes, bytes]]
    transactions: Iterable[TransactionResult]
    hook_events: bytes | None = None


class Store(SignState, PrunedRows):
    """All tables of one node."""

    def save(self, decision: Decision) -> None:
        """Write a decided block and everything that follows from it; inputs up to its height are done with."""
        self._run(
            'INSERT INTO blocks (height, block_id, body, "commit") VALUES (?, ?, ?, ?)',
            (decision.height, decision.block_id, decision.body, decision.commit),
        )
        self.save_rows(decision.rows)
        self.set_meta("head", decision.head)
        leaves = ((decision.first_leaf + n, x.hash, x.data, x.record, x.salt) for n, x in enumerate(decision.leaves))
        self._many("INSERT INTO leaves VALUES (?, ?, ?, ?, ?)", leaves)
        self.grow_tree()
        self._many("INSERT INTO settlement_lines VALUES (?, ?, ?)", decision.settlement_lines)
        self._many("INSERT OR IGNORE INTO readings VALUES (?, ?)", decision.readings)
        results = ((x.id, x.height, x.place, x.code, x.text, x.events) for x in decision.transactions)
        self._many("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)", results)
        if decision.hook_events is not None:
            self.add_hook_events(decision.height, decision.hook_events)
        self.forget_inputs(decision.height)
        self._run("DELETE FROM sign_state WHERE height < ?", (decision.height - KEPT_SIGNED_HEIGHTS,))
