"""A chain put into a real database, and a snapshot made of that."""

from __future__ import annotations

from pathlib import Path

from ledger.node.chain import Candidate, catch_up, decide
from ledger.node.snapshots.file import SnapshotFile
from ledger.node.snapshots.making import make
from ledger.node.storage.store import Store
from ledger.runtime import Runtime
from tests.ledger.chain_kit import Chain


def store_chain(chain: Chain, path: Path) -> Store:
    """Return the new database *path* of a node that decided all of *chain*."""
    store = Store.open(path, chain.genesis.chain_id)
    commits = [block.last_commit for block in chain.blocks[1:]] + [chain.commit()]
    start = Runtime(chain.genesis).genesis_state()
    with store.transaction():
        store.save_genesis(start.head.encode(), start.rows())
        for block, execution, commit in zip(chain.blocks, chain.executions, commits, strict=True):
            assert commit is not None
            store.save(decide(Candidate(block, block.encode(), execution), commit))
    catch_up(store, chain.state)
    return store


def make_snapshot(database: Path, path: Path) -> SnapshotFile:
    """Return the snapshot of the newest block in *database*, made beside its writer as a node does."""
    reader = Store.open_reader(database)
    with reader.at_one_moment():
        make(reader, path)
    reader.close()
    return SnapshotFile(path)
