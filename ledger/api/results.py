"""Shows what a node computed for the blocks of a height."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ledger.api.block_result import HIDDEN_TABLES, BlockResult, ReceiptResult, RowResult, Verdict
from ledger.node.reporting.results import Result
from ledger.node.service import Node
from ledger.roots import Write


def list_results(node: Node, height: int) -> Iterator[BlockResult]:
    """Yield what *node* knows of results at *height*, refused blocks first."""
    for refused in node.results.refused(height):
        yield show_result(refused.own, node.identity.name, "refused", refused.reason, refused.proposer)
        if refused.theirs is not None:
            yield show_result(refused.theirs, refused.proposer, "refused", refused.reason, refused.proposer)
    members = node.driver.position.authorities.members
    for block_id, execution in node.results.decided(height):
        proposer = members[execution.header.first_proposer % len(members)].name
        yield show_result(Result.of(block_id, execution), node.identity.name, "decided", "", proposer)
    for candidate in node.executed(height):
        header = candidate.block.header
        result = Result.of(header.id, candidate.execution)
        proposer = members[header.first_proposer % len(members)].name
        yield show_result(result, node.identity.name, "executed", "", proposer)


def show_result(result: Result, source: str, verdict: Verdict, reason: str, proposer: str) -> BlockResult:
    """Return what *source* computed, as the API has it."""
    return BlockResult(
        source, verdict, reason, proposer, result.block_id, result.height, result.state_root, result.log_size,
        result.log_root,
        tuple(
            ReceiptResult(one.transaction_id, one.code, one.text, one.effects_hash) for one in result.receipts
        ),
        result.records, result.leaves, tuple(map(_show_row, result.rows)),
    )  # fmt: skip


def _show_row(row: Write) -> RowResult:
    is_hidden = row.table in HIDDEN_TABLES and row.value is not None
    return RowResult(row.table, row.key, hashlib.sha256(row.value or b"").digest() if is_hidden else row.value)
