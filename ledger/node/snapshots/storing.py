"""A snapshot put into a database: every part is checked once more, and all of it is there at once or not at all."""

from __future__ import annotations

from collections.abc import Callable

from ledger import snapshot
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store
from ledger.roots import SUBTREES
from ledger.snapshot import LEAVES_PER_PART, Manifest, SnapshotRefusedError

Part = Callable[[int], bytes | None]
"""Gives the part of a number; None where it is missing."""


def put(store: Store, manifest: Manifest, part: Part) -> None:
    """Write the checked *manifest* and its parts, in a transaction of the caller's.

    The database may be new or far behind: its state is replaced, its own blocks, log and signatures stay. Raises
    SnapshotRefusedError for a part that is missing or not what the manifest says.
    """
    height = manifest.height
    store.clear_state()
    last_leaves: tuple[bytes, ...] = ()
    for number in manifest.parts:
        data = part(number)
        if data is None:
            raise SnapshotRefusedError(f"part {number} of the snapshot is missing; copy it anew")
        if number < SUBTREES:
            store.save_rows(snapshot.read_state_part(manifest, number, data))
        else:
            last_leaves = snapshot.read_log_part(manifest, number, data)
            store.add_leaf_hashes((number - SUBTREES) * LEAVES_PER_PART, last_leaves)
    store.grow_tree()
    for certificate in manifest.handovers:
        store.add_handover(certificate.height, certificate.encode())
    store.add_header(manifest.header, manifest.commit)
    store.set_meta("head", manifest.head(last_leaves).encode())
    for kept in Kept:
        store.note_pruned(kept, height)
    store.forget_inputs(height)
