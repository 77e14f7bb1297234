"""Receipts: the gateway's signed word that a meter's hash chain is stored durably up to a number.

    [2, meter id, N, hash of reading N, [[refused number, reason code], …], beacon | null, time]

The meter trims its journal by them, so one is made only of what a commit has put on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.intake.sequence import Chain
from ledger import cbor, envelope
from ledger.keys import PrivateKey
from ledger.reading import Beacon


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says. `refused` pairs numbers up to `sequence` with reason codes; `time` in Unix seconds."""

    meter_id: bytes
    sequence: int
    hash: bytes
    refused: tuple[tuple[int, int], ...]
    beacon: Beacon | None
    time: int


@dataclass(frozen=True, slots=True)
class Receipts:
    """The maker of receipts: the key that signs them, and where the newest beacon and the time come from."""

    key: PrivateKey
    newest_beacon: Callable[[], Beacon | None]
    now: Callable[[], float]

    def make(self, meter_id: bytes, chain: Chain) -> bytes | None:
        """Return the receipt envelope for *chain*, or None while nothing of it is complete."""
        if chain.head == 0:
            return None
        refused = tuple(entry for entry in chain.refused if entry[0] <= chain.head)
        receipt = Receipt(meter_id, chain.head, chain.head_hash, refused, self.newest_beacon(), int(self.now()))
        return envelope.seal(encode_payload(receipt), self.key)


def encode_payload(receipt: Receipt) -> bytes:
    """Return the payload that a gateway signs for *receipt*."""
    beacon = receipt.beacon and [
        receipt.beacon.height, receipt.beacon.block_time, receipt.beacon.block_id_head,
        receipt.beacon.anchor, receipt.beacon.anchor_time, receipt.beacon.anchor_hash_head,
    ]  # fmt: skip
    return cbor.encode([
        int(envelope.Kind.RECEIPT), receipt.meter_id, receipt.sequence, receipt.hash,
        [list(entry) for entry in receipt.refused], beacon, receipt.time,
    ])  # fmt: skip
