"""The envelope of every signed message: COSE_Sign1 (RFC 9052 §4.2, untagged), EdDSA, in one canonical encoding.

[ << {1: -8, 4: kid} >>, {}, payload, signature ]; see `protocol/PROTOCOL.md`.
"""

from hashlib import sha256

from meter import cbor, ed25519
from meter.errors import MalformedError

READING = 1
RECEIPT = 2
CONFIGURATION = 3
UPDATE = 4
PIECE = 5
"""Of an update; the only kind that is not signed, and comes without an envelope."""
KEY_ID_BYTES = 8

_HEAD = b"\x84\x4d\xa2\x01\x27\x04\x48"  # array(4), bstr(13) {1: -8, 4: bstr(8) ...
_KEY_ID_END = len(_HEAD) + KEY_ID_BYTES
_SIGNATURE_HEAD = b"\x58\x40"
_PIECE_HEAD = bytes([0x84, PIECE])  # an array of four: its kind comes first
_TAIL_BYTES = len(_SIGNATURE_HEAD) + ed25519.SIGNATURE_BYTES


class Key:
    """The meter's key pair: made from a 32-byte seed, public part worked out once."""

    def __init__(self, seed):
        self._seed = seed
        self.public = ed25519.public_key(seed)
        self.id = key_id(self.public)

    def sign(self, message):
        """Return the 64-byte signature of *message*."""
        return ed25519.sign(self._seed, message, self.public)


def digest(data):
    """Return the 32-byte SHA-256 of *data*: of an envelope, it is the message's identity."""
    return sha256(data).digest()


def key_id(public_key):
    """Return the 8-byte COSE `kid` of *public_key*."""
    return digest(public_key)[:KEY_ID_BYTES]


def seal(payload, key):
    """Return *payload* (bytes) signed with *key* as an encoded envelope."""
    signature = key.sign(_to_be_signed(key.id, payload))
    return _HEAD + key.id + b"\xa0" + cbor.encode(payload) + _SIGNATURE_HEAD + signature


def parse(data):
    """Return (key id, payload, signature) of the canonical envelope *data*; the signature is not checked here."""
    end = len(data) - _TAIL_BYTES
    if data[: len(_HEAD)] != _HEAD or end <= _KEY_ID_END + 1 or data[_KEY_ID_END] != 0xA0:
        raise MalformedError("not a COSE_Sign1 envelope with alg EdDSA and an 8-byte kid")
    if data[end : end + 2] != _SIGNATURE_HEAD:
        raise MalformedError("the envelope's signature is not 64 bytes long")
    payload = cbor.decode(data[_KEY_ID_END + 1 : end])
    if not isinstance(payload, bytes):
        raise MalformedError("the envelope's payload is not a byte string")
    return data[len(_HEAD) : _KEY_ID_END], payload, data[end + 2 :]


def kind_of(data):
    """Return the kind of the message *data*, an envelope or a piece; 0 where it is neither. Nothing else is checked."""
    try:
        payload = data if data[:2] == _PIECE_HEAD else parse(data)[1]
    except MalformedError:
        return 0
    return payload[1] if len(payload) > 1 else 0


def is_signed_by(data, public_key):
    """Tell whether the envelope *data* names *public_key* and carries its signature; raises MalformedError."""
    name, payload, signature = parse(data)
    return name == key_id(public_key) and ed25519.verify(public_key, _to_be_signed(name, payload), signature)


def fields(payload, kind, count):
    """Return the *count* fields of *payload* behind its kind; raises MalformedError."""
    values = cbor.decode(payload)
    if not isinstance(values, list) or len(values) != count + 1 or values[0] is True or values[0] != kind:
        raise MalformedError("the payload is not of kind {} with {} fields".format(kind, count))
    return values[1:]


def is_uint(value, low, high):
    """Tell whether the field *value* is an integer from *low* to *high*; CBOR's true is none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _to_be_signed(name, payload):
    """Return the Sig_structure of RFC 9052 §4.4 with empty external_aad."""
    return b"\x84\x6aSignature1\x4d" + _HEAD[2:] + name + b"\x40" + cbor.encode(payload)
