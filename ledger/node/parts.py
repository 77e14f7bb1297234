"""The parts of one node, which the driver joins."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.consensus.machine import Machine
from ledger.genesis import Genesis
from ledger.node.blocks import Blocks
from ledger.node.chain import Ledger
from ledger.node.cosigning import Cosigning
from ledger.node.disk import Disk
from ledger.node.heads import Heads
from ledger.node.identity import Identity
from ledger.node.mempool import Mempool
from ledger.node.observing import Observer
from ledger.node.peers import Peers
from ledger.node.rejoining import Rejoining
from ledger.node.results import Results
from ledger.node.snapshots import Snapshots
from ledger.node.sync import Sync


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
