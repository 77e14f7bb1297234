"""What an institution sends to join, to rotate its keys and to let the ledger go on: made of its node's own data."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import genesis, transaction
from ledger.errors import LedgerError
from ledger.keys import PrivateKey
from ledger.modules.authorities import prove_synced
from ledger.node.recovery.memory import DATABASE
from ledger.node.recovery.resuming import Permission
from ledger.node.settings import NodeSettings
from ledger.node.signers import identity
from ledger.node.signers.identity import KeySet
from ledger.node.storage.store import Store
from ledger.remote.client import VALIDITY_BLOCKS, LedgerClient
from ledger.state import decode_head
from ledger.statements import sign_possession
from ledger.transaction import Call

MAX_FILE_BYTES: Final = 16 * 1024


class MembershipError(LedgerError):
    """What is asked for cannot be sent yet; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """New public keys of an authority (hex), and the proof for each that it holds it."""

    authority: str
    keys: tuple[str, ...]
    proofs: tuple[str, ...]

    def call(self, reference: str) -> Call:
        """Return what each authority approves, under *reference*."""
        values = [bytes.fromhex(one) for one in (self.authority, *self.keys, *self.proofs)]
        return Call("authorities", "rotate_keys", (reference, *values))


def join(settings: NodeSettings, authority: bytes) -> Call:
    """Return the call by which the candidate *authority* joins: its node has executed the chain.

    The node's database is read beside the node. Raises MembershipError where it holds no block yet.
    """
    path = settings.data_dir / DATABASE
    if not path.exists():
        raise MembershipError(f"{path}: the node has no data yet; start it, and let it copy the chain")
    with closing(Store.open_reader(path)) as store:
        stored = store.meta("head")
    head = decode_head(stored) if stored is not None else None
    if head is None or head.header.height == 0:
        raise MembershipError("the node has copied no block yet; start it, and wait until it has caught up")
    proofs = _prove(settings, identity.load(settings).key_sets[0], authority)[1]
    return Call("authorities", "join", (head.header.height, prove_synced(head, authority), *proofs))


def rotation(settings: NodeSettings, authority: bytes) -> Rotation:
    """Return the request to put the `next_keys` of *settings* in force; raises MembershipError where there are none."""
    if settings.next_keys is None:
        raise MembershipError("node.toml has no [next_keys]: name the new key files there, as [keys] does, and restart")
    public, proofs = _prove(settings, identity.load(settings).key_sets[1], authority)
    return Rotation(authority.hex(), tuple(one.hex() for one in public), tuple(one.hex() for one in proofs))


def load_rotation(path: Path) -> Rotation:
    """Return the request in the JSON file *path*; raises MembershipError."""
    try:
        values = json.loads(path.read_bytes()[:MAX_FILE_BYTES])
        made = Rotation(values["authority"], tuple(values["keys"]), tuple(values["proofs"]))
        made.call("")
    except OSError as error:
        raise MembershipError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MembershipError(f"{path} is no request to rotate keys ({error!r}); have it made anew") from error
    return made


async def sign_permission(
    permission: Permission | None, reference: str, url: str, account: bytes, key: PrivateKey
) -> Permission:
    """Return *permission* signed by *account* too, or a new one for the newest block of the node at *url*.

    Raises MembershipError where that block is not the one that the permission names.
    """
    async with LedgerClient([url]) as client:
        status = await client.status()
        nonce = (await client.account(account)).nonce
    wanted = permission or Permission(reference, status.height, status.block_id)
    if (wanted.height, wanted.block_id) != (status.height, status.block_id):
        raise MembershipError(
            f"the permission is for block {wanted.height} ({wanted.block_id.hex()[:16]}…), the node at {url} has block"
            f" {status.height} ({status.block_id.hex()[:16]}…): the newest one must be named; let all nodes copy it"
        )
    until = status.height + VALIDITY_BLOCKS
    raw = transaction.sign(status.chain_id, account, nonce, until, wanted.call, key)
    others = [one.raw for sender, one in wanted.senders(status.chain_id).items() if sender != account]
    return Permission(wanted.reference, wanted.height, wanted.block_id, (*others, raw))


def _prove(settings: NodeSettings, held: KeySet, authority: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """Return the public keys of *held* and the statement of each that the node of *settings* holds it."""
    chain_id = genesis.load(settings.genesis).chain_id
    return held.public, [sign_possession(chain_id, authority, key) for key in (held.vote, held.cosign, held.log)]
