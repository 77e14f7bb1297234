r"""The file format of a backup: encrypted to a key that is not on the gateway, signed by the gateway that made it.

    "campusgrid backup 1\n" | recipient's X25519 key | sealed box of the session key | secretstream header | messages

Each message is its length (4 bytes, big-endian) and a ciphertext of libsodium's secretstream: first the manifest
(JSON), then the database in pieces, last the gateway's signature, which is final. Whoever holds the private key, or
for the moment of the trial restore the session key, can open it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

import nacl.bindings as sodium
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey as OpeningKey
from nacl.public import PublicKey as SealingKey
from nacl.public import SealedBox

from gateway.errors import BackupError
from ledger import keys
from ledger.keys import PrivateKey

MAGIC: Final = b"campusgrid backup 1\n"
PIECE_BYTES: Final = 2**20
MAX_MANIFEST_BYTES: Final = 64 * 1024
KEY_BYTES: Final = 32
_BOX_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_KEYBYTES + sodium.crypto_box_SEALBYTES
_HEADER_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_MESSAGE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_OVERHEAD: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_DAMAGED: Final = "is damaged, cut short or altered; take an older backup"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of. `made_at` in Unix seconds, `counts` rows by table; keys and chain id as hex."""

    made_at: int
    chain: str
    gateway: str
    schema: int
    generation: int
    counts: dict[str, int]

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Return the manifest that *raw* encodes; raises ValueError or TypeError."""
        return cls(**json.loads(raw))


def seal(database: IO[bytes], target: IO[bytes], recipient: bytes, manifest: Manifest, signer: PrivateKey) -> bytes:
    """Write *database* as a backup to *target* and return its session key, which must not outlive the trial."""
    session = sodium.crypto_secretstream_xchacha20poly1305_keygen()
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    preamble = MAGIC + recipient + SealedBox(SealingKey(recipient)).encrypt(session)
    preamble += sodium.crypto_secretstream_xchacha20poly1305_init_push(state, session)
    target.write(preamble)

    def push(content: bytes, tag: int = _MESSAGE, bound: bytes | None = None) -> None:
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(state, content, bound, tag)
        target.write(struct.pack(">I", len(sealed)) + sealed)

    described = json.dumps(asdict(manifest), sort_keys=True).encode()
    push(described, bound=preamble)
    digest = hashlib.sha256()
    while piece := database.read(PIECE_BYTES):
        digest.update(piece)
        push(piece)
    push(signer.sign(_statement(described, digest.digest())), _FINAL)
    return session


def recipient_of(sealed: IO[bytes], name: str) -> bytes:
    """Return the X25519 key that the backup *sealed* was made for; raises BackupError if it is no backup."""
    sealed.seek(0)
    preamble = sealed.read(len(MAGIC) + KEY_BYTES)
    if len(preamble) != len(MAGIC) + KEY_BYTES or not preamble.startswith(MAGIC):
        raise BackupError(f"{name}: is no backup of this program; give a file that `campusgrid gateway backup` wrote")
    return preamble[len(MAGIC) :]


def open_session(sealed: IO[bytes], name: str, private: bytes) -> bytes:
    """Return the session key of the backup *sealed*, by the recipient's private key; raises BackupError."""
    recipient, opening = recipient_of(sealed, name), OpeningKey(private)
    if bytes(opening.public_key) != recipient:
        raise BackupError(
            f"{name}: was encrypted to the public key {recipient.hex()}, which is not that of the given private key;"
            " give the private key that belongs to it"
        )
    try:
        return SealedBox(opening).decrypt(sealed.read(_BOX_BYTES))
    except CryptoError as error:
        raise BackupError(f"{name}: {_DAMAGED}") from error


def unseal(sealed: IO[bytes], name: str, session: bytes, target: IO[bytes], gateway: bytes) -> Manifest:
    """Write the database in the backup *sealed* to *target* and return its manifest.

    Raises BackupError unless every byte is as it was written, and signed by *gateway*, the public key of receipts.
    """
    sealed.seek(0)
    preamble = sealed.read(len(MAGIC) + KEY_BYTES + _BOX_BYTES + _HEADER_BYTES)
    try:
        messages = _messages(sealed, session, preamble)
        described, _ = next(messages)
        manifest, digest = Manifest.parse(described), hashlib.sha256()
        for content, is_last in messages:
            if is_last:
                _require_signer(name, manifest, gateway, _statement(described, digest.digest()), content)
                return manifest
            digest.update(content)
            target.write(content)
    except (ValueError, TypeError, RuntimeError, CryptoError, StopIteration, struct.error) as error:
        raise BackupError(f"{name}: {_DAMAGED}") from error
    raise BackupError(f"{name}: {_DAMAGED}")


def _messages(sealed: IO[bytes], session: bytes, preamble: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield each message, and whether it is the last: one so marked, behind which the file ends."""
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, preamble[-_HEADER_BYTES:], session)
    bound: bytes | None = preamble
    limit = MAX_MANIFEST_BYTES + _OVERHEAD
    while True:
        (length,) = struct.unpack(">I", sealed.read(4))
        if length > limit:
            raise ValueError("a message of a backup is longer than one can be")
        content, tag = _pull(state, sealed.read(length), bound)
        if tag == _FINAL and sealed.read(1):
            raise ValueError("a backup has bytes behind its end")
        yield content, tag == _FINAL
        bound, limit = None, PIECE_BYTES + _OVERHEAD


def _pull(state: Any, sealed: bytes, bound: bytes | None) -> tuple[bytes, int]:
    content, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, bound)
    return bytes(content), int(tag)


def _statement(described: bytes, digest: bytes) -> bytes:
    # begins unlike any COSE structure, so that it can never pass for a receipt
    return MAGIC + struct.pack(">I", len(described)) + described + digest


def _require_signer(name: str, manifest: Manifest, gateway: bytes, statement: bytes, signature: bytes) -> None:
    if manifest.gateway != gateway.hex():
        raise BackupError(
            f"{name}: is of the gateway with the receipt key {manifest.gateway}, this one has {gateway.hex()};"
            " give a backup of this gateway"
        )
    if not keys.verify(gateway, statement, signature):
        raise BackupError(f"{name}: {_DAMAGED}")
