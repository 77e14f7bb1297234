"""A transaction: one signed call of one module's function, bound to a chain, a sender, a nonce and a last height."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from ledger import cbor, envelope, keys
from ledger.errors import MalformedError

ACCOUNT_ID_BYTES: Final = 8
METER_ID_BYTES: Final = 8
CHAIN_ID_BYTES: Final = 8
MAX_TRANSACTION_BYTES: Final = 128 * 1024
MAX_NAME_CHARACTERS: Final = 40
_FIELDS: Final = 7
_MAX_UINT63: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Call:
    """What to do: `module.function(arguments)`; arguments are canonical CBOR values."""

    module: str
    function: str
    arguments: tuple[cbor.Value, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded transaction, *signature unchecked*: the runtime checks it against the sender's key on the ledger.

    `id` is its 32-byte identity: SHA-256 of its envelope, `raw`.
    """

    chain_id: bytes
    sender: bytes
    nonce: int
    valid_until: int
    call: Call
    key_id: bytes
    raw: bytes
    id: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        """Tell whether *public_key* signed this transaction."""
        return envelope.parse(self.raw).is_signed_by(public_key)


def sign(chain_id: bytes, sender: bytes, nonce: int, valid_until: int, call: Call, key: keys.PrivateKey) -> bytes:
    """Return the envelope of *call* by account *sender*, valid in blocks up to height *valid_until*."""
    kind = int(envelope.Kind.TRANSACTION)
    values = [kind, chain_id, sender, nonce, valid_until, call.module, call.function, list(call.arguments)]
    return envelope.seal(cbor.encode(values), key)


def decode(raw: bytes) -> Transaction:
    """Return the transaction that *raw* canonically encodes; raises MalformedError."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise MalformedError(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {len(raw)}")
    signed = envelope.parse(raw)
    values = envelope.fields(signed.payload, envelope.Kind.TRANSACTION, _FIELDS)
    chain_id, sender, nonce, valid_until, module, function, arguments = values
    if type(chain_id) is not bytes or len(chain_id) != CHAIN_ID_BYTES:
        raise MalformedError("a transaction's chain id has 8 bytes")
    if type(sender) is not bytes or len(sender) != ACCOUNT_ID_BYTES:
        raise MalformedError("a transaction's sender has 8 bytes")
    if not (_is_uint63(nonce) and _is_uint63(valid_until)):
        raise MalformedError("a transaction's nonce and valid-until height are in 0..2^63-1")
    if not (_is_name(module) and _is_name(function)):
        raise MalformedError("a transaction names a module and a function")
    if type(arguments) is not list:
        raise MalformedError("a transaction's arguments are an array")
    call, digest = Call(module, function, tuple(arguments)), hashlib.sha256(raw).digest()
    return Transaction(chain_id, sender, nonce, valid_until, call, signed.key_id, raw, digest)


def _is_uint63(value: cbor.Value) -> bool:
    return type(value) is int and 0 <= value <= _MAX_UINT63


def _is_name(value: cbor.Value) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME_CHARACTERS
