"""Proofs from the store: what opens a settlement line, receipt or fee, its path, the checkpoint that covers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from ledger import block, checkpoint, keys, merkle, records, tiles, transaction
from ledger.api import access
from ledger.api.access import Viewer, find_viewer
from ledger.api.parameters import CborResponse, EpochNumber, Hash, Height, Id
from ledger.api.problems import ProblemError, not_found, pruned
from ledger.api.source import Source
from ledger.modules import meters
from ledger.node.signers.cosigning import Provable
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Leaf, Store, TransactionResult
from ledger.proof import Opening, Proof
from ledger.receipt_proof import ReceiptProof

MAX_LINE: Final = 1_000
Witnesses = Annotated[bool, Query(description="On a checkpoint that outside witnesses have cosigned, too.")]


@dataclass(frozen=True, slots=True)
class NoSuchLine:
    """The ledger holds no such settlement line, transaction or fee."""


@dataclass(frozen=True, slots=True)
class NotProvable:
    """It is final, but no checkpoint with a quorum of cosignatures covers it yet."""


def prove(
    store: Store,
    epoch: int,
    meter: bytes,
    which: int,
    meter_keys: Mapping[bytes, bytes],
    provable: Provable | None,
    log_key: keys.PrivateKey,
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof file of line *which* of an epoch and meter; *log_key* signs as whoever serves it.

    There is one line, and more where energy was booked late or corrected. *meter_keys* are the public keys that the
    meter has and had, by thumbprint.
    """
    found = store.settlement_leaf(epoch, meter, which)
    if found is None:
        return NoSuchLine()
    place, leaf = found
    if provable is None or place >= provable.checkpoint.size or leaf.record is None or leaf.salt is None:
        return NotProvable()
    line = records.decode_settlement_line(leaf.record)
    readings = tuple(hash_ and store.reading(hash_) for hash_ in (line.first_reading, line.last_reading))
    path = merkle.inclusion_path(place, provable.checkpoint.size, tiles.hashes_in(store.tree_hashes))
    signatures = (checkpoint.sign_as_log(provable.checkpoint, log_key), *provable.lines)
    opening = Opening(leaf.salt, leaf.record, meter_keys[line.key_thumbprint], (readings[0], readings[1]))
    return Proof(opening, place, path, provable.checkpoint, signatures).encode()


def prove_receipt(
    store: Store, transaction_id: bytes, provable: Provable | None, log_key: keys.PrivateKey
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof of a transaction's receipt; *log_key* signs as whoever serves it."""
    result = store.result(transaction_id)
    if result is None:
        return NoSuchLine()
    return _prove_record(store, store.receipt_leaf(result), result.events, provable, log_key)


def prove_fee(
    store: Store, height: int, order: bytes, provable: Provable | None, log_key: keys.PrivateKey
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof of the fee that block *height* took for *order* as it rolled over."""
    return _prove_record(store, store.fee_leaf(height, order), b"", provable, log_key)


def _prove_record(
    store: Store, found: tuple[int, Leaf] | None, events: bytes, provable: Provable | None, log_key: keys.PrivateKey
) -> bytes | NoSuchLine | NotProvable:
    """Return the proof of the record whose place and leaf were *found*, with the *events* that it commits to."""
    if not found:
        return NoSuchLine()
    place, leaf = found
    if provable is None or place >= provable.checkpoint.size or leaf.record is None or leaf.salt is None:
        return NotProvable()
    path = merkle.inclusion_path(place, provable.checkpoint.size, tiles.hashes_in(store.tree_hashes))
    signatures = (checkpoint.sign_as_log(provable.checkpoint, log_key), *provable.lines)
    return ReceiptProof(leaf.salt, leaf.record, events, place, path, provable.checkpoint, signatures).encode()


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/proofs/settlements/{epoch}/{meter}", response_class=PlainTextResponse)
    async def read_proof(
        request: Request,
        epoch: EpochNumber,
        meter: Id,
        which: Annotated[int, Query(alias="line", ge=0, le=MAX_LINE)] = 0,
        witnesses: Witnesses = False,
    ) -> Response:
        wanted, viewer = bytes.fromhex(meter), await find_viewer(source, request.headers)
        if not viewer.sees_all:
            await _require_owner(source, viewer, epoch, wanted, which)
        held = await source.ledger.run(lambda chain: meters.list_keys(chain.state, wanted))
        by_thumbprint = {keys.thumbprint(key.public_key): key.public_key for key in held}
        provable, log_key = _choose(source, witnesses=witnesses), source.log_key
        found = await source.disk.read(
            lambda store: prove(store, epoch, wanted, which, by_thumbprint, provable, log_key)
        )
        if not isinstance(found, NoSuchLine):
            return _answer(found, f"the line of epoch {epoch}", PlainTextResponse)
        await _refuse_pruned(source, epoch)
        raise not_found("unknown_line", f"there is no line {which} of epoch {epoch} and meter {meter}")

    @router.get("/proofs/transactions/{transaction_id}", response_class=CborResponse)
    async def read_receipt_proof(request: Request, transaction_id: Hash, witnesses: Witnesses = False) -> Response:
        wanted, log_key = bytes.fromhex(transaction_id), source.log_key
        provable = _choose(source, witnesses=witnesses)
        await _require_sender(source, request, wanted)
        found = await source.disk.read(lambda store: prove_receipt(store, wanted, provable, log_key))
        if not isinstance(found, NoSuchLine):
            return _answer(found, f"transaction {transaction_id}")
        raise not_found("unknown_transaction", f"no block holds transaction {transaction_id}")

    @router.get("/proofs/fees/{height}/{order}", response_class=CborResponse)
    async def read_fee_proof(height: Height, order: Id, witnesses: Witnesses = False) -> Response:
        """Who paid is no secret: the block's events say so to everybody."""
        provable, log_key = _choose(source, witnesses=witnesses), source.log_key
        found = await source.disk.read(lambda store: prove_fee(store, height, bytes.fromhex(order), provable, log_key))
        if not isinstance(found, NoSuchLine):
            return _answer(found, f"the fee of order {order}")
        gone = await source.disk.read(lambda store: store.pruned(Kept.INDEX))
        if height <= gone:
            raise pruned(f"this node has fees of blocks from {gone + 1} on; ask another for those of block {height}")
        raise not_found("unknown_fee", f"block {height} took no fee for order {order} by itself")

    return router


def _choose(source: Source, *, witnesses: bool) -> Provable | None:
    """Return the checkpoint to prove on; refuse (409) proofs with *witnesses* where there is none of theirs."""
    if not witnesses:
        return source.provable
    if source.witnessed is None:
        text = "no witness has cosigned a checkpoint of this node: ask without `witnesses`, or another node"
        raise ProblemError(HTTPStatus.CONFLICT, "not_witnessed", text)
    return source.witnessed


def _answer(found: bytes | NotProvable, what: str, form: type[Response] = CborResponse) -> Response:
    """Return the proof of *what*; raises ProblemError (409) where it is not provable yet."""
    if isinstance(found, NotProvable):
        text = f"{what} is final but not provable yet; ask again in a few seconds (witnesses may take longer)"
        raise ProblemError(HTTPStatus.CONFLICT, "not_provable_yet", text)
    return form(found)


async def _refuse_pruned(source: Source, epoch: int) -> None:
    """Answer 410 where this node has given up the settlement lines of blocks that were made after *epoch* ended."""
    gone = await source.disk.read(lambda store: store.pruned(Kept.INDEX))
    header = await source.disk.read(lambda store: store.header(gone))
    if header is not None and header.time_ms >= (epoch + 1) * source.genesis.parameters.epoch_s * 1000:
        raise pruned(f"this node has settlement lines from block {gone + 1} on; ask another for epoch {epoch}")


async def _require_sender(source: Source, request: Request, transaction_id: bytes) -> None:
    """Refuse (403) who may not see what was measured at a meter, where the proof would show it: it shows all events.

    Who sent a transaction stands in its block's body: 410 where this node has given it up. A stranger has none read.
    """
    viewer = await find_viewer(source, request.headers)
    if viewer.sees_all:
        return
    result = await source.disk.read(lambda store: store.result(transaction_id))
    if result is None or not access.holds_measured(result.events):
        return
    if viewer.account is not None:
        sender = await source.disk.read(partial(_find_sender, result=result))
        if sender is None:
            text = f"this node has given up the body of block {result.height}, which says who sent the transaction"
            raise pruned(f"{text}; ask another for its proof")
        if viewer.may_see(sender):
            return
    text = "the events of this transaction say what was measured at a meter: they are proven to its sender, admins,"
    raise ProblemError(HTTPStatus.FORBIDDEN, "not_yours", f"{text} gateways and authorities; show a viewing pass")


def _find_sender(store: Store, result: TransactionResult) -> bytes | None:
    """Return the account that sent a transaction, None where its block's body is not here any more."""
    found = store.decided(result.height)
    return None if found is None else transaction.decode(block.decode(found[0]).transactions[result.place]).sender


async def _require_owner(source: Source, viewer: Viewer, epoch: int, meter: bytes, which: int) -> None:
    """Refuse (403) who may not see a settlement line; whether there is one is no secret."""
    found = await source.disk.read(lambda store: store.settlement_leaf(epoch, meter, which))
    record = None if found is None else found[1].record
    if record is not None and not viewer.may_see(records.decode_settlement_line(record).account):
        text = "a settlement line is shown to its account alone: show a viewing pass of it (`--key`)"
        raise ProblemError(HTTPStatus.FORBIDDEN, "not_yours", text)
