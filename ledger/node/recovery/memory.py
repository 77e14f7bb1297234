"""Whether a node's database remembers everything that was ever signed with its keys (LEDGER rules 10 and 11).

It does if it has gone on without a break since it was made *for a new chain*. An empty database that nobody declared
new may be all that is left of one, and a restored one is older than what was signed since: neither may sign before it
is safe. No answer of the peers could tell the two kinds of empty database apart at height 1, where nobody has decided
anything yet and votes get lost, so the institution says it, once, with `campusgrid ledger begin`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger.node.storage.store import Store, StoreError

DATABASE: Final = "ledger.sqlite"
_BEGUN: Final = "begun"
_FORGOT: Final = "forgot"
_SIGNS_FROM: Final = "signs_from"


def begin(data_dir: Path, chain_id: bytes) -> None:
    """Make the database of a node that has never run on the chain; raises StoreError where there is one already."""
    path = data_dir / DATABASE
    if path.exists():
        raise StoreError(f"{path} exists: this node has run, or may start as it is; only a node without data can begin")
    store = Store.open(path, chain_id)
    try:
        with store.transaction():
            store.set_meta(_BEGUN, b"")
    finally:
        store.close()
    for file in data_dir.iterdir():
        file.chmod(0o600)  # the running secret is in there


def note_loss(store: Store) -> None:
    """Mark a database that nothing was signed from and nobody declared new, durably: it stays so while it fills."""
    if not store.has_signed() and store.meta(_BEGUN) is None and store.meta(_SIGNS_FROM) is None:
        with store.transaction():
            store.set_meta(_FORGOT, b"")


def mark_restored(store: Store) -> None:
    """Mark a database as an old copy, within the caller's transaction."""
    store.delete_meta(_SIGNS_FROM)
    store.set_meta(_FORGOT, b"")


def is_whole(store: Store) -> bool:
    """Tell whether nothing that was signed is forgotten, or it is known since when."""
    return store.meta(_FORGOT) is None


def first_height_to_sign(store: Store) -> int:
    """Return from which height on a node whose memory is whole may sign."""
    stored = store.meta(_SIGNS_FROM)
    return 1 if stored is None else int.from_bytes(stored, "big")


def recover(store: Store, signs_from: int) -> None:
    """Note within the caller's transaction that nothing signed and forgotten is of height *signs_from* or above."""
    store.delete_meta(_FORGOT)
    store.set_meta(_SIGNS_FROM, signs_from.to_bytes(8, "big"))
