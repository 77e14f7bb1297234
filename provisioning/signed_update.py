"""An update as it goes on the wire: the manifest that the campus signs, and the pieces that it names.

Defined in `firmware/protocol/update.cddl`; the meter's side is `meter/manifest.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ledger import cbor, envelope
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from provisioning.errors import ImageError
from provisioning.image import Image

PIECE_BYTES: Final = 2048
HEAD_BYTES: Final = 8
MAX_PIECES: Final = 440


@dataclass(frozen=True, slots=True)
class SignedUpdate:
    """Messages for one meter: `manifest` first, then `pieces`, as the meter asks for them."""

    version: int
    manifest: bytes
    pieces: tuple[bytes, ...]


def sign(image: Image, meter_id: bytes, campus_key: PrivateKey, trial_s: int) -> SignedUpdate:
    """Return *image* as an update of one meter, which may take *trial_s* to get a receipt under it; raises ImageError.

    The same image, meter, key and time give the same bytes: a sending that broke off is gone on with.
    """
    heads, pieces = _cut(image)
    digest = hashlib.sha256(image.data).digest()
    payload = [int(Kind.UPDATE), meter_id, image.version, image.target, trial_s, len(image.data), digest, heads]
    return SignedUpdate(image.version, envelope.seal(cbor.encode(payload), campus_key), pieces)


@lru_cache(maxsize=1)  # all meters of a campus get the same pieces
def _cut(image: Image) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the heads of the pieces of *image*, one behind the other, and the pieces as they are sent."""
    parts = [image.data[place : place + PIECE_BYTES] for place in range(0, len(image.data), PIECE_BYTES)]
    if len(parts) > MAX_PIECES:
        raise ImageError(f"the image has {len(image.data)} bytes; a meter takes {MAX_PIECES * PIECE_BYTES}")
    heads = b"".join(hashlib.sha256(part).digest()[:HEAD_BYTES] for part in parts)
    pieces = [cbor.encode([int(Kind.UPDATE_PIECE), image.version, place, part]) for place, part in enumerate(parts)]
    return heads, tuple(pieces)
