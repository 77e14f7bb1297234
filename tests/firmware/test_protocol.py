"""Real bytes against the CDDL files, and against COSE and Ed25519 implementations that are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
import zcbor
from cwt.exceptions import VerifyError
from nacl.exceptions import BadSignatureError
from zcbor import CddlValidationError, DataTranslator

from tests.firmware.cose import open_with_library, open_with_libsodium
from tests.firmware.updates import make_update
from tests.firmware.vectors import FILE

PROTOCOL = Path(__file__).parents[2] / "firmware" / "protocol"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())
READINGS = [bytes.fromhex(vector["envelope"]) for vector in VECTORS["readings"]]
RECEIPTS = [bytes.fromhex(vector["envelope"]) for vector in VECTORS["receipts"]]
MAX_ITEMS = 256


@pytest.fixture(scope="module")
def definitions() -> Any:
    """Give the types of the CDDL files, by name."""
    prelude = Path(zcbor.__file__).parent / "zcbor" / "prelude.cddl"
    names = ("envelope.cddl", "reading.cddl", "receipt.cddl", "update.cddl")
    texts = [prelude.read_text()] + [(PROTOCOL / name).read_text() for name in names]
    return DataTranslator.from_cddl("\n".join(texts), MAX_ITEMS).my_types


@pytest.mark.parametrize("data", READINGS + RECEIPTS)
def test_every_envelope_is_as_the_cddl_says(definitions: Any, data: bytes) -> None:
    assert definitions["envelope"].validate_str(data)


@pytest.mark.parametrize("data", READINGS)
def test_every_reading_is_as_the_cddl_says(definitions: Any, data: bytes) -> None:
    assert definitions["reading"].validate_str(cbor2.loads(data)[2])


@pytest.mark.parametrize("data", RECEIPTS)
def test_every_receipt_is_as_the_cddl_says(definitions: Any, data: bytes) -> None:
    assert definitions["receipt"].validate_str(cbor2.loads(data)[2])


def test_an_update_is_as_the_cddl_says(definitions: Any) -> None:
    for update in (make_update(1, pieces=1), make_update(2**32 - 1, data=bytes(440 * 2048), trial_s=86_400)):
        assert definitions["envelope"].validate_str(update.manifest)
        assert definitions["update"].validate_str(cbor2.loads(update.manifest)[2])
        assert all(definitions["piece"].validate_str(piece) for piece in update.pieces[:: len(update.pieces) - 1 or 1])


@pytest.mark.parametrize(("place", "value"), [(0, 3), (2, 0), (3, ""), (4, 0), (5, 901_121), (6, bytes(31)), (7, b"")])
def test_the_cddl_refuses_an_update_with_a_field_out_of_range(definitions: Any, place: int, value: Any) -> None:
    fields = cbor2.loads(cbor2.loads(make_update(1).manifest)[2])
    fields[place] = value
    with pytest.raises(CddlValidationError):
        definitions["update"].validate_str(cbor2.dumps(fields))


@pytest.mark.parametrize(("place", "value"), [(0, 2), (1, 0), (3, 3), (6, 5), (9, 256), (10, bytes(7))])
def test_the_cddl_refuses_a_reading_with_a_field_out_of_range(definitions: Any, place: int, value: Any) -> None:
    fields = cbor2.loads(cbor2.loads(READINGS[0])[2])
    fields[place] = value
    with pytest.raises(CddlValidationError):
        definitions["reading"].validate_str(cbor2.dumps(fields))


@pytest.mark.parametrize(
    ("data", "public_key"),
    [(data, VECTORS["public_key"]) for data in READINGS] + [(data, VECTORS["gateway_key"]) for data in RECEIPTS],
)
def test_an_independent_cose_library_and_libsodium_open_every_envelope(data: bytes, public_key: str) -> None:
    key = bytes.fromhex(public_key)
    assert open_with_library(data, key) == open_with_libsodium(data, key) == cbor2.loads(data)[2]
    altered = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(VerifyError):
        open_with_library(altered, key)
    with pytest.raises(BadSignatureError):
        open_with_libsodium(altered, key)
