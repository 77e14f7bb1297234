"""Envelopes as others understand them: opened by a COSE library that is not ours, and by libsodium alone."""

from __future__ import annotations

import cbor2
from cwt import COSE, COSEKey
from nacl.signing import VerifyKey

SIGN1_TAG = 18
KEY_TYPE, ALGORITHM, CURVE, POINT, KEY_ID = 1, 3, -1, -2, 2
OKP, EDDSA, ED25519 = 1, -8, 6


def open_with_library(data: bytes, public_key: bytes) -> bytes:
    """Return the payload of the envelope *data* as `cwt` gives it; raises cwt's VerifyError."""
    key_id = cbor2.loads(cbor2.loads(data)[0])[4]
    key = COSEKey.new({KEY_TYPE: OKP, ALGORITHM: EDDSA, CURVE: ED25519, POINT: public_key, KEY_ID: key_id})
    payload = COSE.new().decode(cbor2.dumps(cbor2.CBORTag(SIGN1_TAG, cbor2.loads(data))), key)
    assert isinstance(payload, bytes)
    return payload


def open_with_libsodium(data: bytes, public_key: bytes) -> bytes:
    """Return the payload of *data*, whose Sig_structure (RFC 9052 §4.4) is made here; raises BadSignatureError."""
    protected, _, payload, signature = cbor2.loads(data)
    VerifyKey(public_key).verify(cbor2.dumps(["Signature1", protected, b"", payload]), signature)
    assert isinstance(payload, bytes)
    return payload
