"""What the log's leaves say. A leaf commits to a record with a salt; the opening is in its owner's proof.

Leaf data = CBOR [record kind, SHA-256(salt ‖ record bytes)]; the header leaf is public: [HEADER, fields…].
Energy in Wh, prices in µAIP per kWh, money in aAIP (10⁻¹⁸ AIP), GRID in aGRID (10⁻¹⁸ GRID, 10¹⁵ a Wh).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from operator import attrgetter
from typing import Final

from ledger import cbor
from ledger.errors import MalformedError

SALT_BYTES: Final = 32


class RecordKind(IntEnum):
    """First element of every leaf and record."""

    RECEIPT = 1
    CLEARING = 2
    SETTLEMENT_LINE = 3
    FEE = 4
    HEADER = 5


class LineFlag(IntFlag):
    """What is unusual about a settlement line.

    GAP: not one epoch on time, so booked against the grid account alone. BELOW_MARK: a register stood below its
    high-water mark and that energy counts zero. HELD: a step beyond rated power waits for release. RELEASED: such a
    step, released. NOT_REPORTED: the meter traded but gave no interval. KEPT: its owner kept the unsold GRID, unpaid.
    KEY_CHANGED: its first reading was signed by the key before the one that the line names; the line before shows it.
    FALSE_BEACON: the reading at its end names a block or an anchor that this chain has not, or has otherwise.
    CORRECTION: it moves no energy; a late line shows what was delivered, in this epoch or with those up to a later one,
    and this one pays it back.
    """

    GAP = 1
    BELOW_MARK = 2
    HELD = 4
    RELEASED = 8
    NOT_REPORTED = 16
    KEPT = 32
    KEY_CHANGED = 64
    FALSE_BEACON = 128
    CORRECTION = 256


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """What became of a transaction: result code (0 = done) and the hash of its encoded events."""

    transaction_id: bytes
    height: int
    index: int
    code: int
    effects_hash: bytes


@dataclass(frozen=True, slots=True)
class ClearingRecord:
    """An epoch's auction: price is None where nothing traded; `book_hash` covers orders and fills."""

    epoch: int
    price_uaip_per_kwh: int | None
    matched_wh: int
    orders: int
    book_hash: bytes


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """What one epoch moved for one meter. Amounts are not negative; `price` is None where nothing traded.

    `first_reading` and `last_reading` are the hashes of the boundary readings used (None: the meter did not report).
    `sold_wh` and `bought_wh` are fills; `delivered_wh` and `received_wh` the parts that the meters bore out.
    """

    account: bytes
    epoch: int
    meter: bytes
    key_thumbprint: bytes
    first_reading: bytes | None
    last_reading: bytes | None
    import_wh: int
    export_wh: int
    sold_wh: int
    bought_wh: int
    delivered_wh: int
    received_wh: int
    price_uaip_per_kwh: int | None
    market_income_aaip: int
    market_cost_aaip: int
    grid_income_aaip: int
    grid_cost_aaip: int
    penalty_aaip: int
    minted_agrid: int
    burned_agrid: int
    flags: int


@dataclass(frozen=True, slots=True)
class FeeRecord:
    """The fee of an order that rolled over, which block `height` took by itself; any other stands in a receipt.

    `order` is the one that was entered, for `meter` and delivery in `epoch`.
    """

    account: bytes
    height: int
    order: bytes
    meter: bytes
    epoch: int
    fee_aaip: int


Record = ReceiptRecord | ClearingRecord | SettlementLine | FeeRecord
_KINDS: Final[dict[type[Record], RecordKind]] = {
    ReceiptRecord: RecordKind.RECEIPT,
    ClearingRecord: RecordKind.CLEARING,
    SettlementLine: RecordKind.SETTLEMENT_LINE,
    FeeRecord: RecordKind.FEE,
}
_VALUES: Final[dict[type[Record], attrgetter[tuple[cbor.Value, ...]]]] = {
    kind: attrgetter(*(field.name for field in fields(kind))) for kind in _KINDS
}


def encode(record: Record) -> bytes:
    """Return the canonical bytes of *record*, its kind first."""
    kind = type(record)
    return cbor.encode((int(_KINDS[kind]), *_VALUES[kind](record)))


def kind_of(data: bytes) -> RecordKind:
    """Return which kind of record this node's own *data* is."""
    return RecordKind(cbor.decode_own(data)[0])


def decode_settlement_line(data: bytes) -> SettlementLine:
    """Return the settlement line that *data* canonically encodes; raises MalformedError."""
    values = cbor.decode(data)
    names = [field.name for field in fields(SettlementLine)]
    if type(values) is not list or len(values) != len(names) + 1 or not _is_kind(values[0], RecordKind.SETTLEMENT_LINE):
        raise MalformedError("the record is not a settlement line")
    line = SettlementLine(*values[1:])
    for name, size in (("account", 8), ("meter", 8), ("key_thumbprint", 32)):
        if type(getattr(line, name)) is not bytes or len(getattr(line, name)) != size:
            raise MalformedError(f"a settlement line's {name} has {size} bytes")
    for name in ("first_reading", "last_reading"):
        value = getattr(line, name)
        if value is not None and (type(value) is not bytes or len(value) != 32):
            raise MalformedError(f"a settlement line's {name} is a 32-byte hash or null")
    if line.price_uaip_per_kwh is not None and type(line.price_uaip_per_kwh) is not int:
        raise MalformedError("a settlement line's price is an integer or null")
    if any(type(getattr(line, name)) is not int or getattr(line, name) < 0 for name in _NUMBERS):
        raise MalformedError("a settlement line's energies and amounts are integers from 0")
    return line


def decode_receipt(data: bytes) -> ReceiptRecord:
    """Return the receipt that *data* canonically encodes; raises MalformedError."""
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 6 or not _is_kind(values[0], RecordKind.RECEIPT):
        raise MalformedError("the record is not a receipt")
    _, transaction_id, height, index, code, effects_hash = values
    if any(type(value) is not bytes or len(value) != 32 for value in (transaction_id, effects_hash)):
        raise MalformedError("a receipt's transaction id and effects hash have 32 bytes")
    if any(type(value) is not int or value < 0 for value in (height, index, code)):
        raise MalformedError("a receipt's height, index and code are integers from 0")
    return ReceiptRecord(transaction_id, height, index, code, effects_hash)


def decode_fee(data: bytes) -> FeeRecord:
    """Return the fee that *data* canonically encodes; raises MalformedError."""
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 7 or not _is_kind(values[0], RecordKind.FEE):
        raise MalformedError("the record is not a fee")
    fee = FeeRecord(*values[1:])
    if any(type(value) is not bytes or len(value) != 8 for value in (fee.account, fee.order, fee.meter)):
        raise MalformedError("a fee's account, order and meter have 8 bytes")
    if any(type(value) is not int or value < 0 for value in (fee.height, fee.epoch, fee.fee_aaip)):
        raise MalformedError("a fee's height, epoch and amount are integers from 0")
    return fee


def _is_kind(value: cbor.Value, kind: RecordKind) -> bool:
    return type(value) is int and value == kind  # true equals 1, and is another encoding


def record_kind(record: Record) -> RecordKind:
    """Return the kind of *record*."""
    return _KINDS[type(record)]


def leaf(record: Record, salt: bytes) -> bytes:
    """Return the leaf data that commits to *record* with *salt* (32 bytes)."""
    return leaf_of(record_kind(record), encode(record), salt)


def leaf_of(kind: RecordKind, record: bytes, salt: bytes) -> bytes:
    """Return the leaf data that commits to an encoded *record*."""
    return _LEAF_HEADS[kind] + hashlib.sha256(salt + record).digest()


def leaf_head(kind: RecordKind) -> bytes:
    """Return how the data of every leaf of a *kind* begins, and of no other."""
    return _LEAF_HEADS[kind]


def header_leaf(leaf_fields: list[cbor.Value]) -> bytes:
    """Return the leaf data of a block header, given `Header.leaf_fields()`."""
    return cbor.encode([int(RecordKind.HEADER), *leaf_fields])


def salt(secret: bytes, index: int) -> bytes:
    """Return the salt of the block's leaf *index* under the chain's running *secret* (never published)."""
    return hashlib.sha256(b"campusgrid leaf salt" + secret + index.to_bytes(8, "big")).digest()


def next_secret(secret: bytes, transaction_ids: Iterable[bytes]) -> bytes:
    """Return the running secret after a block: it absorbs every transaction's hash, which covers its signature too."""
    digest = hashlib.sha256(b"campusgrid secret" + secret)
    for transaction_id in transaction_ids:
        digest.update(transaction_id)
    return digest.digest()


_LEAF_HEADS: Final = {kind: cbor.encode([int(kind), bytes(32)])[:-32] for kind in RecordKind}
"""What comes before the hash in a leaf of each kind."""
_NUMBERS: Final = tuple(field.name for field in fields(SettlementLine) if field.type == "int")
