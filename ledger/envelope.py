"""The envelope: COSE_Sign1 (RFC 9052 §4.2, untagged), EdDSA, in its one canonical encoding.

    [ << {1: -8, 4: kid} >>, {}, payload, signature ]

Every signed message of campusgrid is one, save C2SP notes. The payload is a CBOR array whose first element is its
`Kind`, so a signature over one kind of message is never one over another.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from ledger import cbor, keys
from ledger.errors import MalformedError


class Kind(IntEnum):
    """First element of every signed payload: what the message is, and the version of its format."""

    READING = 1
    RECEIPT = 2
    CONFIGURATION = 3
    UPDATE = 4
    UPDATE_PIECE = 5  # the one that is never signed: its hash is in the update
    TRANSACTION = 16
    METER_KEY = 17
    POSSESSION = 18
    VIEWING_PASS = 19
    PROPOSAL = 32
    PREVOTE = 33
    PRECOMMIT = 34


MAX_PAYLOAD_BYTES: Final = 4 * 2**20
_HEAD: Final = bytes.fromhex("844da201270448")  # array(4), bstr(13) {1: -8, 4: bstr(8) ...
_SIGNED_HEAD: Final = b"\x84\x6aSignature1\x4d"
_KID_END: Final = len(_HEAD) + keys.KEY_ID_BYTES
_SIGNATURE_HEAD: Final = bytes.fromhex("5840")  # bstr(64)
_TAIL_BYTES: Final = len(_SIGNATURE_HEAD) + keys.SIGNATURE_BYTES


class Envelope(NamedTuple):
    """A canonical envelope as it came; *its signature is not checked yet*."""

    key_id: bytes
    payload: bytes
    signature: bytes
    raw: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        """Tell whether the signature is *public_key*'s and the `kid` names it."""
        return is_signed_by(self.raw, public_key)


def seal(payload: bytes, key: keys.Signer) -> bytes:
    """Return *payload* signed with *key* as an encoded envelope."""
    return assemble(key.key_id, payload, key.sign(to_be_signed(key.key_id, payload)))


def assemble(key_id: bytes, payload: bytes, signature: bytes) -> bytes:
    """Return the envelope bytes of a signature made elsewhere (a stored vote, a commit certificate)."""
    return _HEAD + key_id + b"\xa0" + cbor.encode(payload) + _SIGNATURE_HEAD + signature


def parse(data: bytes) -> Envelope:
    """Return the envelope that *data* canonically encodes; raises MalformedError."""
    payload_end = len(data) - _TAIL_BYTES
    if data[: len(_HEAD)] != _HEAD or payload_end <= _KID_END + 1 or data[_KID_END] != 0xA0:
        raise MalformedError("not a COSE_Sign1 envelope with alg EdDSA and an 8-byte kid")
    if data[payload_end : payload_end + 2] != _SIGNATURE_HEAD:
        raise MalformedError("the envelope's signature is not 64 bytes long")
    if len(data) > MAX_PAYLOAD_BYTES:
        raise MalformedError(f"the envelope is longer than {MAX_PAYLOAD_BYTES} bytes")
    payload = cbor.read_byte_string(data, _KID_END + 1, payload_end)
    return Envelope(data[len(_HEAD) : _KID_END], payload, data[payload_end + 2 :], data)


def is_signed_by(raw: bytes, public_key: bytes) -> bool:
    """Tell whether *raw*, which `parse` has taken, is signed by *public_key* and its `kid` names that key."""
    if keys.key_id(public_key) != raw[len(_HEAD) : _KID_END]:
        return False
    signed = _SIGNED_HEAD + raw[2:_KID_END] + b"\x40" + raw[_KID_END + 1 : -_TAIL_BYTES]
    return keys.verify(public_key, signed, raw[-keys.SIGNATURE_BYTES :])


def to_be_signed(key_id: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure of RFC 9052 §4.4 with empty external_aad: the bytes that are signed."""
    return _SIGNED_HEAD + _HEAD[2:] + key_id + b"\x40" + cbor.encode(payload)


def fields(payload: bytes, kind: Kind, count: int) -> list[cbor.Value]:
    """Return the *count* fields of *payload* behind its kind; raises MalformedError if it is anything else."""
    values = cbor.decode(payload)
    if type(values) is not list or not values or values[0] != kind or type(values[0]) is not int:
        raise MalformedError(f"the payload is not a {kind.name.lower()}")
    if len(values) != count + 1:
        raise MalformedError(f"a {kind.name.lower()} has {count + 1} fields, not {len(values)}")
    return values[1:]
