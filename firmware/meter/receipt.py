"""The gateway's receipt: "the hash chain of this meter up to N is complete and durably stored here"."""

from collections import namedtuple

from meter import envelope
from meter.errors import MalformedError

MAX_RECEIPT_BYTES = 2048
_FIELDS = 6
_UINT32 = 2**32

Receipt = namedtuple("Receipt", ("meter_id", "sequence", "hash", "refused", "beacon", "time"))
"""refused: list of [sequence, reason code]; beacon: list of 6 fields or None; hash: SHA-256 of reading `sequence`."""


def decode(data):
    """Return the Receipt in the envelope *data*, signature unchecked; raises MalformedError."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise MalformedError("a receipt has at most {} bytes".format(MAX_RECEIPT_BYTES))
    receipt = Receipt(*envelope.fields(envelope.parse(data)[1], envelope.RECEIPT, _FIELDS))
    _require(_is_bytes(receipt.meter_id, 8), "meter id")
    _require(_is_uint32(receipt.sequence) and receipt.sequence > 0, "sequence")
    _require(_is_bytes(receipt.hash, 32), "hash")
    _require(isinstance(receipt.refused, list) and all(_is_refusal(entry) for entry in receipt.refused), "refused")
    _require(receipt.beacon is None or _is_beacon(receipt.beacon), "beacon")
    _require(_is_uint32(receipt.time), "time")
    return receipt


def is_authentic(data, gateway_keys):
    """Tell whether one of *gateway_keys* (public keys) signed the envelope *data*; raises MalformedError."""
    name = envelope.parse(data)[0]
    return any(envelope.key_id(key) == name and envelope.is_signed_by(data, key) for key in gateway_keys)


def _is_beacon(value):
    return (
        isinstance(value, list)
        and len(value) == 6
        and all(_is_uint32(value[place]) for place in (0, 1, 3, 4))
        and _is_bytes(value[2], 8)
        and _is_bytes(value[5], 8)
    )


def _is_refusal(entry):
    return isinstance(entry, list) and len(entry) == 2 and _is_uint32(entry[0]) and _is_uint32(entry[1])


def _is_uint32(value):
    return envelope.is_uint(value, 0, _UINT32 - 1)


def _is_bytes(value, size):
    return isinstance(value, bytes) and len(value) == size


def _require(holds, name):
    if not holds:
        raise MalformedError("malformed receipt: " + name)
