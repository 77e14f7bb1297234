"""A node's folder with a chain in its database, whose log a quorum cosigned as far as a test says."""

from __future__ import annotations

import time
from pathlib import Path

from ledger import checkpoint, genesis
from ledger.checkpoint import Checkpoint
from ledger.node.recovery.memory import DATABASE
from ledger.node.signers.cosigning import Provable
from ledger.node.storage.store import Store
from tests.ledger.chain_kit import AUTHORITY_NAMES, Chain, key_of
from tests.ledger.snapshot_kit import store_chain


def cosign(store: Store, chain: Chain, size: int, root: bytes) -> None:
    """Make the checkpoint provable, as a quorum's cosignatures do."""
    note = Checkpoint(checkpoint.origin(chain.genesis.chain_id), size, root)
    lines = [
        checkpoint.cosign(
            note, checkpoint.cosigner_name(note.origin, name), key_of(1001 + 10 * place), int(time.time())
        )
        for place, name in enumerate(AUTHORITY_NAMES[:3])
    ]
    with store.transaction():
        store.set_meta("provable", Provable(note, tuple(lines)).encode())


class Place:
    """A node's folder with a chain in its database, provable up to any block."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        folder.mkdir()
        genesis.dump(chain.genesis, folder / "genesis.json")
        (folder / "log.key").write_text(key_of(1002).seed.hex())
        keys = '[keys]\nvote = "v"\ncosign = "c"\nlog = "log.key"\n[tls]\nca = "ca"\ncert = "cert"\nkey = "key"\n'
        text = 'name = "ERC"\ngenesis = "genesis.json"\ndata_dir = "data"\npeers = []\n'
        (folder / "node.toml").write_text(text + keys)
        self.config, self.chain = folder / "node.toml", chain
        self.store = store_chain(chain, folder / "data" / DATABASE)

    def prove(self, height: int) -> int:
        header = self.store.header(height)
        assert header is not None
        cosign(self.store, self.chain, header.log_size, header.log_root)
        return header.log_size
