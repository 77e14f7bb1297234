"""What executing a block gives: receipts, records, log leaves, events, changed rows and the next head."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.block import Header
from ledger.codes import Code
from ledger.modules.module import Event
from ledger.records import ReceiptRecord, Record
from ledger.roots import RootChange, Write
from ledger.state import Head


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one transaction of the block; `text` explains a refusal, `salt` opens the leaf at `log_index`.

    `data` are the record's encoded bytes, `events_data` those of the events, which the record's hash covers.
    """

    record: ReceiptRecord
    sender: bytes
    text: str
    events: tuple[Event, ...]
    salt: bytes
    log_index: int
    data: bytes
    events_data: bytes

    @property
    def code(self) -> Code:
        """The result code; 0 is done."""
        return Code(self.record.code)


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A runtime record with its encoded bytes; `salt` opens the leaf at `log_index` of the log."""

    record: Record
    data: bytes
    salt: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of a block, applied to a state by `LedgerState.apply`. `leaves` are leaf data in log order.

    `events` are those of hooks; a transaction's events are in its receipt. `readings` are the envelopes of the readings
    that done transactions carried.
    """

    head: Head
    receipts: tuple[Receipt, ...]
    records: tuple[LoggedRecord, ...]
    leaves: tuple[bytes, ...]
    leaf_hashes: tuple[bytes, ...]
    readings: tuple[bytes, ...]
    events: tuple[Event, ...]
    writes: tuple[Write, ...]
    change: RootChange

    @property
    def header(self) -> Header:
        """The header that the block must have."""
        return self.head.header
