"""The parts of one node, which the driver joins."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.consensus.machine import Machine
from ledger.genesis import Genesis
from ledger.node.blocks import Blocks
from ledger.node.chain import Ledger
from ledger.node.heads import Heads
from ledger.node.mempool import Mempool
from ledger.node.network.peers import Peers
from ledger.node.network.sync import Sync
from ledger.node.recovery.rejoining import Rejoining
from ledger.node.reporting.observing import Observer
from ledger.node.reporting.results import Results
from ledger.node.signers.cosigning import Cosigning
from ledger.node.signers.identity import Identity
from ledger.node.snapshots.offer import Snapshots
from ledger.node.storage.disk import Disk


@dataclass(slots=True)
class Parts:
    """What the driver joins."""

    genesis: Genesis
    identity: Identity
    disk: Disk
    ledger: Ledger
    machine: Machine
    peers: Peers
    mempool: Mempool
    cosigning: Cosigning
    heads: Heads
    snapshots: Snapshots
    rejoining: Rejoining
    sync: Sync = field(default_factory=Sync)
    blocks: Blocks = field(default_factory=Blocks)
    observer: Observer = field(default_factory=Observer)
    results: Results = field(default_factory=Results)
