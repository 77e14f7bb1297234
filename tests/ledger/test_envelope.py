"""An envelope is COSE_Sign1 to anyone, and has one canonical encoding."""

from __future__ import annotations

import cbor2
import pytest
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor, envelope, keys
from ledger.errors import MalformedError

KEY = keys.PrivateKey(bytes(range(32)))
PAYLOAD = cbor.encode([1, b"payload", None])
SEALED = envelope.seal(PAYLOAD, KEY)


def test_an_independent_cose_library_verifies_our_envelope() -> None:
    outside = COSEKey.new({1: 1, 2: KEY.key_id, 3: -8, 4: [2], -1: 6, -2: KEY.public_key})
    tagged = cbor2.dumps(cbor2.CBORTag(18, cbor2.loads(SEALED)))
    assert COSE.new().decode(tagged, outside) == PAYLOAD


def test_a_sealed_payload_opens_to_itself() -> None:
    opened = envelope.parse(SEALED)
    assert (opened.payload, opened.key_id, opened.raw) == (PAYLOAD, KEY.key_id, SEALED)
    assert opened.is_signed_by(KEY.public_key)
    assert not opened.is_signed_by(keys.PrivateKey(bytes(32)).public_key)
    assert envelope.assemble(opened.key_id, opened.payload, opened.signature) == SEALED


@pytest.mark.parametrize("place", range(len(SEALED)))
def test_every_altered_byte_is_refused(place: int) -> None:
    for bit in range(8):
        altered = bytearray(SEALED)
        altered[place] ^= 1 << bit
        try:
            opened = envelope.parse(bytes(altered))
        except MalformedError:
            continue
        assert not opened.is_signed_by(KEY.public_key)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_never_crash(data: bytes) -> None:
    with pytest.raises(MalformedError):
        envelope.parse(data)


def test_the_same_message_in_another_encoding_is_refused() -> None:
    protected, unprotected, payload, signature = cbor2.loads(SEALED)
    loose = b"\x84" + cbor2.dumps(protected) + cbor2.dumps(unprotected) + b"\x59" + len(payload).to_bytes(2, "big")
    with pytest.raises(MalformedError):
        envelope.parse(loose + payload + cbor2.dumps(signature))
    with pytest.raises(MalformedError):
        envelope.parse(cbor2.dumps([protected, {1: 2}, payload, signature]))
    with pytest.raises(MalformedError):
        envelope.parse(SEALED + b"\x00")


def test_a_payload_of_another_kind_or_length_is_refused() -> None:
    with pytest.raises(MalformedError, match="receipt"):
        envelope.fields(PAYLOAD, envelope.Kind.RECEIPT, 2)
    with pytest.raises(MalformedError, match="fields"):
        envelope.fields(PAYLOAD, envelope.Kind.READING, 3)
    with pytest.raises(MalformedError):
        envelope.fields(cbor.encode([True, 0]), envelope.Kind.READING, 1)
