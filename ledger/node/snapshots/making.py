"""A snapshot made from a node's own database, while the node goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ledger import block, handover, roots, snapshot
from ledger.errors import LedgerError
from ledger.node.snapshots.file import SnapshotWriter
from ledger.node.storage.store import Store
from ledger.snapshot import LEAVES_PER_PART, Manifest
from ledger.state import Head, decode_head


class NoSnapshotError(LedgerError):
    """No snapshot can be made of this database now; the text says why."""


def make(store: Store, path: Path) -> Manifest:
    """Write the snapshot of the newest block to the file *path*; raises NoSnapshotError or OSError.

    *store* must stand still meanwhile: a reader within `at_one_moment`.
    """
    head = _newest(store)
    receipt, place = _first_receipt(store, head)
    file = SnapshotWriter(path)
    try:
        state_hashes, log_hashes = tuple(_add_state(store, file)), tuple(_add_log(store, file))
        part = place // LEAVES_PER_PART * LEAVES_PER_PART
        leaves = store.some_leaf_hashes(part, LEAVES_PER_PART)
        commit = store.commit(head.header.height)
        assert commit is not None
        manifest = Manifest(
            head.header, commit, tuple(map(handover.parse, store.handovers().values())), state_hashes, log_hashes,
            head.secret, receipt, place, snapshot.log_path(place, leaves, log_hashes),
        )  # fmt: skip
        file.finish(manifest.encode())
    except BaseException:
        file.abandon()
        raise
    return manifest


def _newest(store: Store) -> Head:
    stored = store.meta("head")
    if stored is None or store.height() == 0:
        raise NoSnapshotError("there is no block here yet: let the node copy the chain first")
    return decode_head(stored)


def _first_receipt(store: Store, head: Head) -> tuple[bytes, int]:
    """Return the receipt of the newest block's first transaction, and its place in the log."""
    height = head.header.height
    decided = store.decided(height)
    transactions = block.decode(decided[0]).transactions if decided is not None else ()
    result = store.result(hashlib.sha256(transactions[0]).digest()) if transactions else None
    found = store.receipt_leaf(result) if result is not None else None
    if found is None or found[1].record is None:
        raise NoSnapshotError(
            f"the newest block, {height}, holds no transaction, and only a transaction's receipt shows that the"
            " snapshot's secret is the chain's: send one (`campusgrid ledger call`), then export again at once"
        )
    return found[1].record, found[0]


def _add_state(store: Store, file: SnapshotWriter) -> Iterator[bytes]:
    """Append the state's parts and yield the hash of every subtree."""
    empty, held = roots.subtree_hash(0, ()), store.rows_by_subtree()
    subtree, rows = next(held, (roots.SUBTREES, []))
    for index in range(roots.SUBTREES):
        if index < subtree:
            yield empty
            continue
        file.add(snapshot.state_part(rows))
        yield roots.subtree_hash(index, rows)
        subtree, rows = next(held, (roots.SUBTREES, []))


def _add_log(store: Store, file: SnapshotWriter) -> Iterator[bytes]:
    """Append the log's parts and yield the hash of each."""
    for first in count(0, LEAVES_PER_PART):
        leaves = store.some_leaf_hashes(first, LEAVES_PER_PART)
        if not leaves:
            return
        file.add(b"".join(leaves))
        yield snapshot.log_root(leaves)
