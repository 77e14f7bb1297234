"""Readings and receipts: the firmware's bytes are the ledger's bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from meter import envelope, reading, receipt
from meter.errors import MalformedError

from ledger import cbor as ledger_cbor
from ledger import envelope as ledger_envelope
from ledger import reading as ledger_reading
from ledger.errors import MalformedError as LedgerMalformedError
from ledger.keys import PrivateKey
from tests.firmware.vectors import FILE, GATEWAY_SEED, SEED

VECTORS: dict[str, Any] = json.loads(FILE.read_text())
GATEWAY_KEY = bytes.fromhex(VECTORS["gateway_key"])


def test_the_ledger_takes_every_reading_of_the_vectors() -> None:
    for vector in VECTORS["readings"]:
        taken = ledger_reading.decode(bytes.fromhex(vector["envelope"]))
        assert taken.is_signed_by(bytes.fromhex(VECTORS["public_key"]))


@pytest.mark.parametrize(
    "about",
    [None, 7, [], [5, 9, 3, bytes(8)], [0, 9, 3, bytes(8), bytes(32)], [9, 5, 1, bytes(8), bytes(32)],
     [5, 10, 3, bytes(8), bytes(32)], [5, 9, 6, bytes(8), bytes(32)], [5, 9, 0, bytes(8), bytes(32)],
     [5, 9, 3, bytes(7), bytes(32)], [5, 9, 3, bytes(8), bytes(31)], [True, 9, 3, bytes(8), bytes(32)]],
)  # fmt: skip
def test_the_ledger_refuses_a_thinning_that_makes_no_sense(about: Any) -> None:
    taken = reading.Reading(10, 2, 0, 0, None, reading.THINNED, about, (), 0, bytes(8))
    with pytest.raises(LedgerMalformedError):
        ledger_reading.decode(reading.seal(taken, envelope.Key(SEED)))


def test_a_reading_longer_than_the_limit_is_not_sealed() -> None:
    registers = tuple((code, 2**62) for code in range(100, 116))
    taken = reading.Reading(1, 2, 0, 0, None, 1, None, registers, 0, bytes(8))
    with pytest.raises(MalformedError, match="more than 180"):
        reading.seal(taken, envelope.Key(SEED))


def _sealed_receipt(*fields: Any) -> bytes:
    return ledger_envelope.seal(ledger_cbor.encode(list(fields)), PrivateKey(GATEWAY_SEED))


@pytest.mark.parametrize(
    "fields",
    [
        (2, bytes(7), 1, bytes(32), [], None, 0),
        (2, bytes(8), 0, bytes(32), [], None, 0),
        (2, bytes(8), True, bytes(32), [], None, 0),
        (2, bytes(8), 2**32, bytes(32), [], None, 0),
        (2, bytes(8), 1, bytes(31), [], None, 0),
        (2, bytes(8), 1, bytes(32), None, None, 0),
        (2, bytes(8), 1, bytes(32), [[1]], None, 0),
        (2, bytes(8), 1, bytes(32), [], [1, 2, bytes(8), 3, 4], 0),
        (2, bytes(8), 1, bytes(32), [], [1, 2, bytes(8), 3, 4, b""], 0),
        (2, bytes(8), 1, bytes(32), [], None, -1),
        (2, bytes(8), 1, bytes(32), [], None),
        (2, bytes(8), 1, bytes(32), [], None, 0, 0),
        (1, bytes(8), 1, bytes(32), [], None, 0),
        (True, bytes(8), 1, bytes(32), [], None, 0),
        (),
    ],
)
def test_a_signed_message_that_is_no_receipt_is_refused(fields: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedError):
        receipt.decode(_sealed_receipt(*fields))


def test_no_altered_byte_of_a_receipt_is_authentic() -> None:
    data = bytes.fromhex(VECTORS["receipts"][1]["envelope"])
    for place in range(len(data)):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            receipt.decode(altered)
            assert not receipt.is_authentic(altered, [GATEWAY_KEY])
        except MalformedError:
            continue


@pytest.mark.parametrize("length", range(0, 120, 7))
def test_a_receipt_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MalformedError):
        receipt.decode(bytes.fromhex(VECTORS["receipts"][0]["envelope"])[:length])


def test_a_receipt_beyond_its_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="2048"):
        receipt.decode(bytes(2049))
