"""Cursors: where a page ended, sealed, so that nobody reads from them how many readings others have stored."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from starlette.exceptions import HTTPException

from gateway.store.walk import Place

MAX_CHARACTERS: Final = 128
_ROW_BYTES: Final = 8


class Cursors:
    """Seals and opens the cursors of one gateway; they hold over restarts."""

    def __init__(self, secret: bytes) -> None:
        self._box = SecretBox(secret)

    def seal(self, place: Place) -> str:
        """Return *place* as a cursor."""
        plain = place.row.to_bytes(_ROW_BYTES, "big") + (place.meter_id or b"")
        return base64.urlsafe_b64encode(bytes(self._box.encrypt(plain))).decode().rstrip("=")

    def open(self, text: str, name: str = "after") -> Place:
        """Return the place that the cursor *text* seals; raises HTTPException, naming the parameter *name*."""
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii") + b"==")
            plain = self._box.decrypt(sealed)
        except (CryptoError, UnicodeEncodeError, binascii.Error, ValueError) as error:
            raise HTTPException(422, f"{name}: is no cursor of this gateway; take `next` of an answer") from error
        return Place(int.from_bytes(plain[:_ROW_BYTES], "big"), plain[_ROW_BYTES:] or None)
