"""A viewing pass: an account's word that whoever shows it reads on its behalf, until a time. It moves nothing.

    VIEWING_PASS   [19, chain id, account id, valid until in Unix seconds]   signed by the account's key

Shown as `Authorization: Pass BASE64`. Whoever overhears one can read until it ends: hence the short time.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from ledger import cbor, envelope, keys
from ledger.envelope import Kind
from ledger.errors import MalformedError
from ledger.transaction import ACCOUNT_ID_BYTES, CHAIN_ID_BYTES

MAX_VALID_S: Final = 3_600
SCHEME: Final = "Pass "
MAX_HEADER_BYTES: Final = 512
_FIELDS: Final = 3


@dataclass(frozen=True, slots=True)
class ViewingPass:
    """A decoded pass, *signature unchecked*."""

    chain_id: bytes
    account: bytes
    until_s: int
    raw: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        """Tell whether *public_key* signed it."""
        return envelope.parse(self.raw).is_signed_by(public_key)


def write(chain_id: bytes, account: bytes, until_s: int, key: keys.PrivateKey) -> str:
    """Return the header's value that shows a pass of *account* until *until_s*."""
    sealed = envelope.seal(cbor.encode([int(Kind.VIEWING_PASS), chain_id, account, until_s]), key)
    return SCHEME + base64.b64encode(sealed).decode()


def read(header: str) -> ViewingPass:
    """Return the pass that a header's value shows; raises MalformedError."""
    if not header.startswith(SCHEME) or len(header) > MAX_HEADER_BYTES:
        raise MalformedError("it does not read `Pass` and base64")
    try:
        raw = base64.b64decode(header.removeprefix(SCHEME), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("it is no base64") from error
    chain_id, account, until_s = envelope.fields(envelope.parse(raw).payload, Kind.VIEWING_PASS, _FIELDS)
    if type(chain_id) is not bytes or len(chain_id) != CHAIN_ID_BYTES:
        raise MalformedError("its chain id has not 8 bytes")
    if type(account) is not bytes or len(account) != ACCOUNT_ID_BYTES:
        raise MalformedError("its account id has not 8 bytes")
    if type(until_s) is not int or not 0 <= until_s < 2**63:
        raise MalformedError("its time is no time")
    return ViewingPass(chain_id, account, until_s, raw)
