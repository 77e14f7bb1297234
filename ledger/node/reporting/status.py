"""What a node says of itself."""

from __future__ import annotations

from ledger.api.resources import NodeStatus, PeerStatus
from ledger.node.service import Node


def describe(node: Node) -> NodeStatus:
    """Return where the node stands right now."""
    header, at = node.driver.position.header, node.machine.state
    return NodeStatus(
        chain_id=node.genesis.chain_id,
        name=node.identity.name,
        index=node.driver.place,
        height=header.height,
        block_id=header.id,
        state_root=header.state_root,
        time_ms=header.time_ms,
        round=at.round if at else 0,
        step=at.step.name.lower() if at else "idle",
        log_size=header.log_size,
        checkpoint_size=node.cosigning.provable_size,
        mempool=len(node.mempool),
        dropped_events=node.driver.dropped_jobs + node.admission.dropped_gossip,
        alarm=node.driver.alarm or node.driver.key_fault,
        peers=tuple(
            PeerStatus(name, peer.linked, peer.height, peer.outbox.dropped) for name, peer in node.peers.by_name.items()
        ),
        observes=not node.rejoining.may_sign(node.driver.height),
        tolerated_faults=node.driver.position.authorities.faults,
        development=node.genesis.development,
    )
