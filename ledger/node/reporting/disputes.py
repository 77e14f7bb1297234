"""What a node does about a block for which it computed something else than the proposer (LEDGER rule 14)."""

from __future__ import annotations

from ledger.authority import AuthoritySet
from ledger.execution import Execution
from ledger.node.network import wire
from ledger.node.parts import Parts
from ledger.node.reporting.results import Refused, Result


def dispute(parts: Parts, authorities: AuthoritySet, block_id: bytes, reason: str, execution: Execution) -> None:
    """Keep the own *execution* of the block *block_id*, which says otherwise, and ask its proposer for his."""
    own = Result.of(block_id, execution)
    proposer = authorities.members[execution.header.first_proposer].name
    parts.results.keep_refused(block_id, Refused(reason, own, proposer))
    if proposer in parts.peers.by_name:
        parts.peers.send(proposer, wire.result_wanted(own.height, block_id))
