"""The institutions' permission to go on from a block where observing would never end (LEDGER rule 11).

It is a file with signed calls of `resumption.record` by Q authorities, all with one reference and one block. Each
operator puts it in the own node while that is stopped; the nodes then sign from the next height on and bring the same
calls into the chain.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import cbor, genesis, transaction
from ledger.errors import LedgerError, MalformedError
from ledger.modules import accounts
from ledger.node.recovery import memory
from ledger.node.recovery.memory import DATABASE
from ledger.node.settings import NodeSettings
from ledger.node.storage.store import Store
from ledger.state import LedgerState, authorities_at, decode_head
from ledger.transaction import Call, Transaction

MAX_FILE_BYTES: Final = 256 * 1024
_CALLS: Final = "resumption"


class ResumeError(LedgerError):
    """The permission does not hold for this node; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Signed calls, each an envelope, to go on from block `block_id` at `height`, decided under `reference`."""

    reference: str
    height: int
    block_id: bytes
    calls: tuple[bytes, ...] = ()

    @property
    def call(self) -> Call:
        """What each institution signs."""
        return Call("resumption", "record", (self.reference, self.height, self.block_id))

    def senders(self, chain_id: bytes) -> dict[bytes, Transaction]:
        """Return the calls that say what this permission says, by sender; signatures are not checked yet."""
        read = [transaction.decode(raw) for raw in self.calls]
        return {one.sender: one for one in read if one.call == self.call and one.chain_id == chain_id}


def load(path: Path) -> Permission:
    """Return the permission in the file *path*; raises ResumeError."""
    try:
        values = json.loads(path.read_bytes()[:MAX_FILE_BYTES])
        calls = tuple(bytes.fromhex(one) for one in values["calls"])
        made = Permission(values["reference"], values["height"], bytes.fromhex(values["block_id"]), calls)
        for raw in calls:
            transaction.decode(raw)
    except OSError as error:
        raise ResumeError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, MalformedError) as error:
        raise ResumeError(f"{path} is no permission to go on ({error!r}); have it signed anew") from error
    return made


def dump(permission: Permission, path: Path) -> None:
    """Write *permission* to the file *path*."""
    values = {
        "reference": permission.reference,
        "height": permission.height,
        "block_id": permission.block_id.hex(),
        "calls": [raw.hex() for raw in permission.calls],
    }
    path.write_text(json.dumps(values, indent=2) + "\n")


def accept(settings: NodeSettings, permission: Permission) -> int:
    """Let the stopped node of *settings* go on; return the height from which on it signs.

    Raises ResumeError where its newest block is another one or Q good signatures are not there, StoreError while it
    runs.
    """
    rules = genesis.load(settings.genesis)
    with closing(Store.open(settings.data_dir / DATABASE, rules.chain_id)) as store:
        stored = store.meta("head")
        if stored is None:
            raise ResumeError(f"{settings.data_dir} has no chain yet: start the node, let it copy what the others have")
        state = LedgerState.restore(decode_head(stored), store.rows())
        _require_block(permission, state)
        _require_quorum(permission, state, rules.chain_id)
        with store.transaction():
            memory.recover(store, permission.height + 1)
            store.set_meta(_CALLS, cbor.encode(list(permission.calls)))
    return permission.height + 1


def accepted(store: Store) -> Sequence[bytes]:
    """Return the calls that a node went on by, for the chain."""
    stored = store.meta(_CALLS)
    return [] if stored is None else cbor.decode(stored)


def _require_block(permission: Permission, state: LedgerState) -> None:
    header = state.header
    if (header.height, header.id) == (permission.height, permission.block_id):
        return
    if header.height < permission.height:
        what = "start the node, let it copy up to there, stop it, and try again"
    else:
        what = "this block must not be lost: let the others copy it, and sign a permission that names the newest one"
    raise ResumeError(
        f"the permission is for block {permission.height} ({permission.block_id.hex()[:16]}…), this node's newest is"
        f" {header.height} ({header.id.hex()[:16]}…): {what}"
    )


def _require_quorum(permission: Permission, state: LedgerState, chain_id: bytes) -> None:
    authorities, calls = authorities_at(state, permission.height + 1), permission.senders(chain_id)
    missing = []
    for member in authorities.members:
        account, call = accounts.find(state, member.id), calls.get(member.id)
        if account is None or call is None or not call.is_signed_by(account.public_key):
            missing.append(member.name)
    signed = len(authorities) - len(missing)
    if signed < authorities.quorum:
        raise ResumeError(
            f"{signed} of {len(authorities)} authorities have signed, {authorities.quorum} must; missing:"
            f" {', '.join(missing)}"
        )
