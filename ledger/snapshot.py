"""A snapshot: all that a node needs to go on after a decided block, in parts of which each is checked alone.

A manifest leads from the genesis authorities to the block (`handover`) and says what hash each part has; those hashes
give the state root and the log root that a quorum certified. The running secret stands in no header, but it salted the
receipts of the block: one of them is opened, so a wrong secret shows. A block without a transaction has no snapshot.

    manifest     [1, chain id, header fields, certificate, [hand-over …], state, log, secret, receipt, place, [path …]]
                 state and log: the hashes of all parts, one after another
    state part   [[table, key, value] …], the rows of one of the 4,096 subtrees of the state root, ascending
    log part     leaf hashes, one after another: 4,096 of them, fewer in the last part

Whoever holds a snapshot knows the state and the secret: it goes from authority to authority, not to the public.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from ledger import block, cbor, handover, merkle, records, roots
from ledger.authority import AuthoritySet
from ledger.block import MAX_BLOCK_TRANSACTIONS, Commit, Header
from ledger.consensus.commit import verify_commit
from ledger.errors import LedgerError, MalformedError
from ledger.handover import Handover, HandoverRefusedError
from ledger.merkle import HASH_BYTES, Frontier
from ledger.records import RecordKind
from ledger.roots import SUBTREES, Write
from ledger.state import Head

MAX_MANIFEST_BYTES: Final = 8 * 2**20
MAX_PART_BYTES: Final = 4 * 2**20
LEAVES_PER_PART: Final = 4_096
_VERSION: Final = 1


class SnapshotRefusedError(LedgerError):
    """A snapshot that this chain's authorities did not certify, or a part that is not what its manifest says."""


@dataclass(frozen=True)
class Manifest:
    """What a snapshot is of, and the hash of each part: first the state's, then the log's.

    `receipt` is the opened receipt of a transaction of the block, `place` and `path` lead from it to the log's root.
    """

    header: Header
    commit: Commit
    handovers: tuple[Handover, ...]
    state_hashes: tuple[bytes, ...]
    log_hashes: tuple[bytes, ...]
    secret: bytes
    receipt: bytes
    place: int
    path: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """The height of the block after which the snapshot was taken."""
        return self.header.height

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """The numbers of the parts there are: a subtree without rows has none, so nobody asks for it."""
        held = (number for number, hash_ in enumerate(self.state_hashes) if hash_ != _EMPTY_SUBTREE)
        return (*held, *range(SUBTREES, SUBTREES + len(self.log_hashes)))

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return cbor.encode([
            _VERSION, self.header.chain_id, self.header.fields(), self.commit.fields(),
            [one.fields() for one in self.handovers], b"".join(self.state_hashes), b"".join(self.log_hashes),
            self.secret, self.receipt, self.place, list(self.path),
        ])  # fmt: skip

    def head(self, last_leaves: Sequence[bytes]) -> Head:
        """Return the head of the chain after the block, given the leaf hashes of the log's last part."""
        full = Frontier()
        for hash_ in self.log_hashes[: self.header.log_size // LEAVES_PER_PART]:
            full = full.append(hash_)
        tail = Frontier()
        for leaf in last_leaves if self.header.log_size % LEAVES_PER_PART else ():
            tail = tail.append(leaf)
        return Head(self.header, Frontier(self.header.log_size, (*full.peaks, *tail.peaks)), self.secret)


def parse(data: bytes) -> Manifest:
    """Return the manifest that *data* canonically encodes, nothing checked yet; raises MalformedError."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise MalformedError(f"a manifest has at most {MAX_MANIFEST_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or [type(value) for value in values] != _FIELDS or values[0] != _VERSION:
        raise MalformedError("this is no manifest of a snapshot, version 1")
    _, chain_id, header, commit, handovers, state, log, secret, receipt, place, path = values
    found = Manifest(
        block.decode_header(cbor.encode(header)), block.decode_commit(commit),
        tuple(handover.parse(cbor.encode(one)) for one in handovers), _hashes(state), _hashes(log),
        secret, receipt, place, tuple(path),
    )  # fmt: skip
    if found.header.chain_id != chain_id or any(type(node) is not bytes for node in path):
        raise MalformedError("a manifest's chain id or path is malformed")
    return found


def check(manifest: Manifest, chain_id: bytes, genesis: AuthoritySet) -> AuthoritySet:
    """Return the authorities that certified the block; raises SnapshotRefusedError where anything does not hold.

    *genesis* are the authorities with which the chain *chain_id* began: nothing else is believed.
    """
    header = manifest.header
    _require(header.chain_id == chain_id and header.height > 0, "it is of no block of this chain")
    try:
        authorities = handover.walk(chain_id, genesis, manifest.handovers).at_height(header.height)
    except HandoverRefusedError as error:
        raise SnapshotRefusedError(f"snapshot of block {header.height}: {error}") from error
    _require(authorities.hash == header.set_hash, "its hand-overs do not lead to the authorities of its block")
    _require((manifest.commit.height, manifest.commit.block_id) == (header.height, header.id),
             "its certificate is for another block")  # fmt: skip
    _require(verify_commit(manifest.commit, authorities, chain_id), "its certificate does not hold")
    _require(len(manifest.state_hashes) == SUBTREES, f"its state has not {SUBTREES} parts")
    _require(roots.root_of_subtrees(manifest.state_hashes) == header.state_root, "its parts do not give the state root")
    _require(len(manifest.log_hashes) == -(-header.log_size // LEAVES_PER_PART), "its log has not the parts it needs")
    _require(log_root(manifest.log_hashes) == header.log_root, "its parts do not give the log root")
    _require(_is_secret_of_block(manifest), "its secret did not salt its block's receipt")
    return authorities


def state_part(rows: Sequence[Write]) -> bytes:
    """Return the part that holds a subtree's *rows*, which ascend by table and key; raises LedgerError if too large."""
    data = cbor.encode([[row.table, row.key, row.value] for row in rows])
    if len(data) > MAX_PART_BYTES:
        raise LedgerError(f"a subtree's rows take {len(data)} bytes; snapshots end at {MAX_PART_BYTES}")
    return data


def read_state_part(manifest: Manifest, number: int, data: bytes) -> list[Write]:
    """Return the rows in part *number*; raises SnapshotRefusedError where they are not those of the manifest."""
    try:
        rows = _read_rows(data)
        is_right = roots.subtree_hash(number, rows) == manifest.state_hashes[number]
    except (MalformedError, ValueError) as error:
        raise SnapshotRefusedError(f"part {number} of the state: {error}") from error
    _require(is_right, f"part {number} of the state is not what the manifest says")
    return rows


def read_log_part(manifest: Manifest, number: int, data: bytes) -> tuple[bytes, ...]:
    """Return the leaf hashes in part *number*; raises SnapshotRefusedError where they are not the manifest's."""
    index = number - SUBTREES
    size = min(LEAVES_PER_PART, manifest.header.log_size - index * LEAVES_PER_PART)
    _require(len(data) == size * HASH_BYTES, f"part {number} of the log has not {size} hashes")
    leaves = _hashes(data)
    _require(log_root(leaves) == manifest.log_hashes[index], f"part {number} of the log is not what the manifest says")
    return leaves


def check_part(manifest: Manifest, number: int, data: bytes) -> None:
    """Return if *data* is part *number*; raises SnapshotRefusedError."""
    if number < SUBTREES:
        read_state_part(manifest, number, data)
    else:
        read_log_part(manifest, number, data)


def log_root(hashes: Iterable[bytes]) -> bytes:
    """Return the root of the tree over equal perfect subtrees, the last of which may be smaller, or over leaf hashes.

    RFC 6962 splits at powers of two, so parts of 4,096 leaves are nodes of the tree.
    """
    frontier = Frontier()
    for hash_ in hashes:
        frontier = frontier.append(hash_)
    return frontier.root()


def log_path(place: int, leaves: Sequence[bytes], log_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the path from the leaf at *place* of the log to its root, given the leaf hashes of the part it is in."""
    part, index = divmod(place, LEAVES_PER_PART)
    lower = merkle.inclusion_path(index, len(leaves), merkle.hashes_over(leaves))
    return (*lower, *merkle.inclusion_path(part, len(log_hashes), merkle.hashes_over(log_hashes)))


def _is_secret_of_block(manifest: Manifest) -> bool:
    try:
        receipt = records.decode_receipt(manifest.receipt)
    except MalformedError:
        return False
    if receipt.height != manifest.height or receipt.index >= MAX_BLOCK_TRANSACTIONS:
        return False
    salt = records.salt(manifest.secret, receipt.index)
    leaf = merkle.leaf_hash(records.leaf_of(RecordKind.RECEIPT, manifest.receipt, salt))
    return (
        merkle.root_from_path(leaf, manifest.place, manifest.header.log_size, manifest.path) == manifest.header.log_root
    )


def _read_rows(data: bytes) -> list[Write]:
    values = cbor.decode(data)
    if type(values) is not list:
        raise MalformedError("it is no list of rows")
    if any(type(value) is not list or [type(one) for one in value] != [str, bytes, bytes] for value in values):
        raise MalformedError("a row is a table, a key and a value")
    places = [(table, key) for table, key, _ in values]
    if any(one >= next_ for one, next_ in pairwise(places)):
        raise MalformedError("its rows do not ascend")
    return [Write(*value) for value in values]


def _hashes(data: bytes) -> tuple[bytes, ...]:
    if len(data) % HASH_BYTES:
        raise MalformedError(f"hashes have {HASH_BYTES} bytes each")
    return tuple(data[first : first + HASH_BYTES] for first in range(0, len(data), HASH_BYTES))


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise SnapshotRefusedError(f"the snapshot is refused: {fault}")


_EMPTY_SUBTREE: Final = roots.subtree_hash(0, ())
_FIELDS: Final[list[type]] = [int, bytes, list, list, list, bytes, bytes, bytes, bytes, int, list]
