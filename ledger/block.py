"""Blocks, their headers and commit certificates. A block's id is the SHA-256 of its encoded header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final

from ledger import cbor, merkle
from ledger.errors import MalformedError

VERSION: Final = 1
"""The protocol version with which every chain begins: genesis headers have it, so it never changes."""
HASH_BYTES: Final = 32
NO_HASH: Final = bytes(HASH_BYTES)
MAX_BLOCK_BYTES: Final = 2 * 2**20
MAX_BLOCK_TRANSACTIONS: Final = 10_000
_MAX_HEADER_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Header:
    """What the authorities agree on. `state_root`, `log_size` and `log_root` are those *after* the block.

    `first_proposer` is the index of the authority that first proposed the block and stays on re-proposal.
    """

    version: int
    chain_id: bytes
    height: int
    time_ms: int
    parent: bytes
    first_proposer: int
    transaction_root: bytes
    evidence_root: bytes
    last_commit_hash: bytes
    state_root: bytes
    log_size: int
    log_root: bytes
    set_hash: bytes
    next_set_hash: bytes

    @property
    def id(self) -> bytes:
        """The 32-byte block id."""
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """Return the canonical bytes of the header."""
        return cbor.encode(self.fields())

    def fields(self) -> list[cbor.Value]:
        """Return the fields in order; `dataclasses.astuple` would copy each deeply, at four times the cost of all."""
        return list(_header_fields(self))

    def leaf_fields(self) -> list[cbor.Value]:
        """Return the fields that the block's last log leaf carries: all but log size and log root."""
        return [getattr(self, field.name) for field in fields(self) if field.name not in ("log_size", "log_root")]


_header_fields = attrgetter(*(field.name for field in fields(Header)))


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit certificate: precommits of one round for one block, as (authority index, signature), ascending."""

    height: int
    round: int
    block_id: bytes
    signatures: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """Return the canonical bytes of the certificate."""
        return cbor.encode(self.fields())

    def fields(self) -> list[cbor.Value]:
        """Return the certificate as nested arrays."""
        return [self.height, self.round, self.block_id, [list(pair) for pair in self.signatures]]


@dataclass(frozen=True, slots=True)
class Block:
    """A block as decoded: its parts agree with its header's hashes, nothing else is checked yet."""

    header: Header
    transactions: tuple[bytes, ...]
    evidence: tuple[bytes, ...]
    last_commit: Commit | None

    @property
    def id(self) -> bytes:
        """The 32-byte block id."""
        return self.header.id

    def encode(self) -> bytes:
        """Return the canonical bytes of the block."""
        commit = self.last_commit and self.last_commit.fields()
        return cbor.encode([self.header.fields(), list(self.transactions), list(self.evidence), commit])


def decode(data: bytes) -> Block:
    """Return the block that *data* canonically encodes; raises MalformedError, also where a root does not fit."""
    if len(data) > MAX_BLOCK_BYTES:
        raise MalformedError(f"a block has at most {MAX_BLOCK_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 4:
        raise MalformedError("a block has a header, transactions, evidence and a last commit")
    header, transactions, evidence, last_commit = values
    block = Block(
        _header(header),
        _byte_strings(transactions, "transactions"),
        _byte_strings(evidence, "evidence"),
        None if last_commit is None else decode_commit(last_commit),
    )
    _require_roots(block)
    return block


def decode_header(data: bytes) -> Header:
    """Return the header that *data* canonically encodes; raises MalformedError."""
    return _header(cbor.decode(data))


def own_header(data: bytes) -> Header:
    """Return the header of an encoded block that this node has checked before, without reading the rest."""
    return _header(cbor.decode_first(data[1 : 1 + _MAX_HEADER_BYTES]))


def decode_commit(values: cbor.Value) -> Commit:
    """Return the certificate that nested arrays hold; raises MalformedError. Signatures are not checked here."""
    if type(values) is not list or len(values) != 4 or type(values[3]) is not list:
        raise MalformedError("a commit certificate has height, round, block id and signatures")
    height, round_, block_id, pairs = values
    if any(type(pair) is not list or len(pair) != 2 for pair in pairs):
        raise MalformedError("a certificate's signature is an authority index and 64 bytes")
    signatures = tuple((pair[0], pair[1]) for pair in pairs)
    if any(type(index) is not int or type(signature) is not bytes for index, signature in signatures):
        raise MalformedError("a certificate's signature is an authority index and 64 bytes")
    if [index for index, _ in signatures] != sorted({index for index, _ in signatures}):
        raise MalformedError("a certificate's authorities do not ascend")
    if not _is_uint(height) or not _is_uint(round_) or not _is_hash(block_id):
        raise MalformedError("a certificate's height, round or block id is malformed")
    return Commit(height, round_, block_id, signatures)


def transaction_root(transactions: tuple[bytes, ...]) -> bytes:
    """Return the RFC 6962 root over *transactions*; the root of none is SHA-256 of nothing."""
    return merkle.root(transactions)


def commit_hash(commit: Commit | None) -> bytes:
    """Return the hash of a certificate for the header; 32 zero bytes where there is none (height 1)."""
    return NO_HASH if commit is None else hashlib.sha256(commit.encode()).digest()


def _require_roots(block: Block) -> None:
    header = block.header
    if header.transaction_root != merkle.root(block.transactions):
        raise MalformedError("a block's transactions do not match its header")
    if header.evidence_root != merkle.root(block.evidence):
        raise MalformedError("a block's evidence does not match its header")
    if header.last_commit_hash != commit_hash(block.last_commit):
        raise MalformedError("a block's last commit does not match its header")


def _header(values: cbor.Value) -> Header:
    names = [field.name for field in fields(Header)]
    if type(values) is not list or len(values) != len(names):
        raise MalformedError(f"a block header has {len(names)} fields")
    for name, value in zip(names, values, strict=True):
        if name == "chain_id":
            fits = type(value) is bytes and len(value) == 8
        elif name in ("version", "height", "time_ms", "first_proposer", "log_size"):
            fits = _is_uint(value)
        else:
            fits = _is_hash(value)
        if not fits:
            raise MalformedError(f"a block header's {name} is malformed")
    return Header(*values)


def _byte_strings(values: cbor.Value, name: str) -> tuple[bytes, ...]:
    if type(values) is not list or any(type(value) is not bytes for value in values):
        raise MalformedError(f"a block's {name} are byte strings")
    if len(values) > MAX_BLOCK_TRANSACTIONS:
        raise MalformedError(f"a block has at most {MAX_BLOCK_TRANSACTIONS} {name}")
    return tuple(values)


def _is_uint(value: cbor.Value) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_hash(value: cbor.Value) -> bool:
    return type(value) is bytes and len(value) == HASH_BYTES
