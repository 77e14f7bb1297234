"""What a node computed for a block, as the API speaks it for `campusgrid ledger diff-block`: once for both ends."""

from __future__ import annotations

from typing import Final, Literal

from pydantic.dataclasses import dataclass

from ledger.api.resources import Hex
from ledger.modules.authorities import CANDIDATES

HIDDEN_TABLES: Final = frozenset({CANDIDATES.name})
"""Their rows hold what only nodes know that have executed the chain: their values are shown as hashes."""
Verdict = Literal["decided", "executed", "refused"]


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row that the block changes; value None: it deletes the row."""

    table: str
    key: Hex
    value: Hex | None


@dataclass(frozen=True, slots=True)
class ReceiptResult:
    """See `ledger.node.reporting.results.ReceiptResult`."""

    transaction_id: Hex
    code: int
    text: str
    effects_hash: Hex


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What the node `source` computed for a block; the answering node decided, executed or refused that block.

    A refused block comes with two results: the answering node's own, and the proposer's once he has sent it.
    """

    source: str
    verdict: Verdict
    reason: str
    proposer: str
    block_id: Hex
    height: int
    state_root: Hex
    log_size: int
    log_root: Hex
    receipts: tuple[ReceiptResult, ...]
    records: tuple[Hex, ...]
    leaves: tuple[Hex, ...]
    rows: tuple[RowResult, ...]
