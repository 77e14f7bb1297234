"""Proofs from the store: a settlement line's or a receipt's opening, its path, and the checkpoint that covers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ledger import checkpoint, keys, merkle, records
from ledger.node.cosigning import Provable
from ledger.node.store import Store
from ledger.proof import Opening, Proof
from ledger.receipt_proof import ReceiptProof


@dataclass(frozen=True, slots=True)
class NoSuchLine:
    """The ledger holds no such settlement line, or no such transaction."""


@dataclass(frozen=True, slots=True)
class NotProvable:
    """It is final, but no checkpoint with a quorum of cosignatures covers it yet."""


def prove(
    store: Store,
    epoch: int,
    meter: bytes,
    meter_keys: Mapping[bytes, bytes],
    provable: Provable | None,
    log_key: keys.PrivateKey,
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof file of a settlement line; *log_key* signs as whoever serves it.

    *meter_keys* are the public keys that the meter has and had, by thumbprint.
    """
    found = store.settlement_leaf(epoch, meter)
    if found is None:
        return NoSuchLine()
    place, leaf = found
    if provable is None or place >= provable.checkpoint.size or leaf.record is None or leaf.salt is None:
        return NotProvable()
    line = records.decode_settlement_line(leaf.record)
    readings = tuple(hash_ and store.reading(hash_) for hash_ in (line.first_reading, line.last_reading))
    hashes = store.leaf_hashes(provable.checkpoint.size)
    path = merkle.inclusion_path(place, len(hashes), hashes.__getitem__)
    signatures = (checkpoint.sign_as_log(provable.checkpoint, log_key), *provable.lines)
    opening = Opening(leaf.salt, leaf.record, meter_keys[line.key_thumbprint], (readings[0], readings[1]))
    return Proof(opening, place, path, provable.checkpoint, signatures).encode()


def prove_receipt(
    store: Store, transaction_id: bytes, provable: Provable | None, log_key: keys.PrivateKey
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof of a transaction's receipt; *log_key* signs as whoever serves it."""
    result = store.result(transaction_id)
    found = result and store.receipt_leaf(result)
    if result is None or not found:
        return NoSuchLine()
    place, leaf = found
    if provable is None or place >= provable.checkpoint.size or leaf.record is None or leaf.salt is None:
        return NotProvable()
    hashes = store.leaf_hashes(provable.checkpoint.size)
    path = merkle.inclusion_path(place, len(hashes), hashes.__getitem__)
    signatures = (checkpoint.sign_as_log(provable.checkpoint, log_key), *provable.lines)
    return ReceiptProof(
        leaf.salt, leaf.record, result.events, place, tuple(path), provable.checkpoint, signatures
    ).encode()
