"""Checkpoints of the log as C2SP signed notes (tlog-checkpoint), with Ed25519 log signatures and cosignature/v1.

Formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature. Third-party tools read them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ledger import keys
from ledger.authority import AuthoritySet
from ledger.errors import LedgerError, MalformedError

KEY_HASH_BYTES: Final = 4
TIME_BYTES: Final = 8
MAX_NOTE_BYTES: Final = 64 * 1024
MAX_KEYS_BYTES: Final = 64 * 1024
MAX_TIME_S: Final = 2**63 - 1
_DASH: Final = "\u2014 "


class SignatureType(IntEnum):
    """What a note key signs (c2sp.org/signed-note): 0x01 plain Ed25519 by the log, 0x04 Ed25519 cosignature/v1."""

    LOG = 0x01
    COSIGNATURE = 0x04


class KeyFileError(LedgerError):
    """A file of verifier keys that cannot serve; the text says which line and why."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """One C2SP verifier key: `name+hash+base64(type ‖ public key)`."""

    name: str
    type: SignatureType
    public_key: bytes

    @property
    def hash(self) -> bytes:
        """The 4-byte key hash that leads every signature made with this key."""
        return key_hash(self.name, self.type, self.public_key)

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.type]) + self.public_key).decode()
        return f"{self.name}+{self.hash.hex()}+{encoded}"


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note: key name and the decoded bytes, key hash first."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of the log under its origin name."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin(chain_id: bytes) -> str:
    """Return the log's origin name for the chain of *chain_id*."""
    return f"campusgrid/{chain_id.hex()}"


def cosigner_name(origin: str, authority: str) -> str:
    """Return the key name under which the authority named *authority* cosigns the log *origin*."""
    return f"{origin}/{authority}"


def verifier_keys(authorities: AuthoritySet, origin: str) -> list[VerifierKey]:
    """Return every authority's log key, then every authority's cosigner key, both in set order."""
    logs = [VerifierKey(origin, SignatureType.LOG, member.log_key) for member in authorities.members]
    cosigners = [
        VerifierKey(cosigner_name(origin, member.name), SignatureType.COSIGNATURE, member.cosign_key)
        for member in authorities.members
    ]
    return logs + cosigners


def key_hash(name: str, type_: SignatureType, public_key: bytes) -> bytes:
    """Return SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([type_]) + public_key).digest()[:KEY_HASH_BYTES]


def sign_as_log(checkpoint: Checkpoint, key: keys.PrivateKey) -> SignatureLine:
    """Return the log signature over *checkpoint*: it tells who served it and adds no trust."""
    verifier = VerifierKey(checkpoint.origin, SignatureType.LOG, key.public_key)
    return SignatureLine(verifier.name, verifier.hash + key.sign(str(checkpoint).encode()))


def cosign(checkpoint: Checkpoint, name: str, key: keys.Signer, time_s: int) -> SignatureLine:
    """Return the cosignature/v1 over *checkpoint* by the cosigner *name* at Unix time *time_s*."""
    verifier = VerifierKey(name, SignatureType.COSIGNATURE, key.public_key)
    signature = key.sign(_cosigned_bytes(checkpoint, time_s))
    return SignatureLine(name, verifier.hash + time_s.to_bytes(TIME_BYTES, "big") + signature)


def read_time_s(line: SignatureLine) -> int:
    """Return the Unix time that a cosignature states."""
    return int.from_bytes(line.data[KEY_HASH_BYTES:][:TIME_BYTES], "big")


def is_signed(checkpoint: Checkpoint, line: SignatureLine, key: VerifierKey) -> bool:
    """Tell whether *line* is *key*'s signature over *checkpoint*, of the type that the key is for."""
    if line.name != key.name or line.data[:KEY_HASH_BYTES] != key.hash:
        return False
    body = line.data[KEY_HASH_BYTES:]
    if key.type is SignatureType.LOG:
        return keys.verify(key.public_key, str(checkpoint).encode(), body)
    if len(body) != TIME_BYTES + keys.SIGNATURE_BYTES:
        return False
    time_s = read_time_s(line)
    return 0 < time_s <= MAX_TIME_S and keys.verify(
        key.public_key, _cosigned_bytes(checkpoint, time_s), body[TIME_BYTES:]
    )


def note(checkpoint: Checkpoint, lines: Sequence[SignatureLine]) -> str:
    """Return the signed note: the checkpoint's text, a blank line, the signature lines."""
    return f"{checkpoint}\n{''.join(map(str, lines))}"


def in_order(lines: Sequence[SignatureLine]) -> list[SignatureLine]:
    """Return *lines* in the order in which witnesses' cosignatures stand: by name, then by bytes."""
    return sorted(lines, key=lambda line: (line.name, line.data))


def parse_note(text: str) -> tuple[Checkpoint, tuple[SignatureLine, ...]]:
    """Return what the signed note *text* holds, signatures unchecked; raises MalformedError for any other text."""
    body, separator, signatures = text.partition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise MalformedError("a checkpoint is text, a blank line and signature lines")
    checkpoint = _parse_checkpoint(body)
    lines = tuple(_parse_line(line) for line in signatures[:-1].split("\n"))
    if note(checkpoint, lines) != text:
        raise MalformedError("the checkpoint is not in its one text form")
    return checkpoint, lines


def parse_key(text: str) -> VerifierKey:
    """Return the verifier key that *text* writes; raises MalformedError."""
    name, hash_text, encoded = [*text.split("+", 2), "", ""][:3]
    decoded = _decode_base64(encoded)
    if not name or any(character.isspace() for character in name) or len(decoded) != 1 + keys.PUBLIC_KEY_BYTES:
        raise MalformedError("a verifier key reads name+hash+base64 of a type and an Ed25519 key")
    if decoded[0] not in SignatureType._value2member_map_:
        raise MalformedError(f"key type 0x{decoded[0]:02x} is neither a log key (0x01) nor a cosigner key (0x04)")
    key = VerifierKey(name, SignatureType(decoded[0]), decoded[1:])
    if hash_text != key.hash.hex():
        raise MalformedError(f"its hash {hash_text!r} does not belong to the key")
    return key


def parse_keys(text: str) -> list[VerifierKey]:
    """Return the verifier keys that *text* lists, one a line, in order; raises KeyFileError."""
    found: list[VerifierKey] = []
    if len(text.encode()) > MAX_KEYS_BYTES:
        raise KeyFileError(f"it is longer than the {MAX_KEYS_BYTES} bytes of a list of keys")
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            key = parse_key(line.removesuffix("\r"))
        except MalformedError as error:
            raise KeyFileError(f"line {number}: {error}") from error
        if any(key.public_key == other.public_key for other in found):
            raise KeyFileError(f"line {number}: this public key is already listed")
        if any(key.name == other.name for other in found if SignatureType.COSIGNATURE in (key.type, other.type)):
            raise KeyFileError(f"line {number}: the name {key.name!r} is already listed")
        found.append(key)
    if not any(key.type is SignatureType.COSIGNATURE for key in found):
        raise KeyFileError("no cosigner key (type 0x04) is listed: ask an authority for its verifier keys")
    if not any(key.type is SignatureType.LOG for key in found):
        raise KeyFileError(
            "no log key (type 0x01) is listed: `vkeys` in a node's /v1/authorities are all that are needed"
        )
    return found


def _parse_checkpoint(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) != 3 or not lines[0] or not (lines[1].isascii() and lines[1].isdigit()):
        raise MalformedError("a checkpoint reads origin, size and root, one a line")
    if len(lines[1]) > 19:
        raise MalformedError("the checkpoint's size is out of range")
    root = _decode_base64(lines[2])
    if len(root) != hashlib.sha256().digest_size:
        raise MalformedError("a checkpoint's root has 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def _parse_line(line: str) -> SignatureLine:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2 or not parts[0]:
        raise MalformedError("a signature line reads: em dash, key name, base64")
    return SignatureLine(parts[0], _decode_base64(parts[1]))


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"not base64: {text[:20]!r}") from error


def _cosigned_bytes(checkpoint: Checkpoint, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{checkpoint}".encode()
