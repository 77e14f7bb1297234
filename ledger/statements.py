"""Statements that calls carry besides a meter's readings: that one key stands for another, or is really held.

    METER_KEY    [17, chain id, meter id, new public key, first sequence number]   signed by the meter's key before
    POSSESSION   [18, chain id, authority id, public key]                          signed by that key

Each is an envelope of its own kind, so a signature over one is never one over anything else.
"""

from __future__ import annotations

from ledger import cbor, envelope, keys
from ledger.envelope import Kind
from ledger.errors import MalformedError


def sign_meter_key(
    chain_id: bytes, meter: bytes, public_key: bytes, first_sequence: int, old_key: keys.PrivateKey
) -> bytes:
    """Return the statement that readings of *meter* from *first_sequence* on are signed by *public_key*."""
    return envelope.seal(_meter_key(chain_id, meter, public_key, first_sequence), old_key)


def is_meter_key(
    raw: bytes, chain_id: bytes, meter: bytes, public_key: bytes, first_sequence: int, old_public_key: bytes
) -> bool:
    """Tell whether *raw* is that statement, signed by *old_public_key*."""
    return _is_signed(raw, _meter_key(chain_id, meter, public_key, first_sequence), old_public_key)


def sign_possession(chain_id: bytes, authority: bytes, key: keys.Signer) -> bytes:
    """Return the statement that whoever will be *authority* holds *key*."""
    return envelope.seal(_possession(chain_id, authority, key.public_key), key)


def is_possession(raw: bytes, chain_id: bytes, authority: bytes, public_key: bytes) -> bool:
    """Tell whether *raw* is that statement about *public_key*, signed by it."""
    return _is_signed(raw, _possession(chain_id, authority, public_key), public_key)


def _meter_key(chain_id: bytes, meter: bytes, public_key: bytes, first_sequence: int) -> bytes:
    return cbor.encode([int(Kind.METER_KEY), chain_id, meter, public_key, first_sequence])


def _possession(chain_id: bytes, authority: bytes, public_key: bytes) -> bytes:
    return cbor.encode([int(Kind.POSSESSION), chain_id, authority, public_key])


def _is_signed(raw: bytes, payload: bytes, public_key: bytes) -> bool:
    try:
        found = envelope.parse(raw)
    except MalformedError:
        return False
    return found.payload == payload and found.is_signed_by(public_key)
