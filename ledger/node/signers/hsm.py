"""Signing keys that live in a PKCS#11 token: they sign there and never come out.

A key is named by an RFC 7512 URI, in node.toml in the place of its file:

    vote = "pkcs11:token=ERC;object=vote?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin.txt"

The token signs with CKM_EDDSA; what it signs is checked, like every signature that counts, by libsodium (`keys`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

from ledger import keys
from ledger.errors import LedgerError

if TYPE_CHECKING:
    import pkcs11

SCHEME: Final = "pkcs11:"
PIN_FILE: Final = "file:"
MAX_PIN_BYTES: Final = 1024
Signed = TypeVar("Signed")
_PATH_NAMES: Final = frozenset({"token", "serial", "object", "id"})
_QUERY_NAMES: Final = frozenset({"module-path", "pin-source"})
_POINT_HEAD: Final = b"\x04\x20"
"""DER's head of an octet string of 32 bytes: CKA_EC_POINT by the standard; some tokens leave it out."""


class TokenError(LedgerError):
    """A token, or a key in it, cannot be used: the operator must act."""


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """What a URI says: the token by label or serial number, the key in it by label or id, its library and PIN file."""

    module: Path
    pin_file: Path
    token: str | None
    serial: bytes | None
    object: str | None
    id: bytes | None

    def __str__(self) -> str:
        names = {"token": self.token, "serial": self.serial and self.serial.decode(errors="replace"),
                 "object": self.object, "id": self.id and self.id.hex()}  # fmt: skip
        return SCHEME + ";".join(f"{name}={value}" for name, value in names.items() if value is not None)


def parse(uri: str, folder: Path) -> KeyPlace:
    """Return the place that *uri* names; a relative PIN file starts at *folder*. Raises TokenError."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    where = _attributes(uri, path, ";", _PATH_NAMES)
    how = _attributes(uri, query, "&", _QUERY_NAMES)
    if "token" not in where and "serial" not in where:
        raise TokenError(f"{uri!r} names no token: add token=LABEL or serial=NUMBER")
    if "object" not in where and "id" not in where:
        raise TokenError(f"{uri!r} names no key: add object=LABEL or id=%01")
    if "module-path" not in how:
        raise TokenError(f"{uri!r} names no PKCS#11 library: add ?module-path=/…/library.so")
    source = how.get("pin-source", b"").decode()
    if not source.removeprefix(PIN_FILE):
        raise TokenError(f"{uri!r} names no file with the PIN: add &pin-source=file:/…/pin")
    return KeyPlace(
        Path(how["module-path"].decode()),
        folder / source.removeprefix(PIN_FILE),
        where["token"].decode() if "token" in where else None,
        where.get("serial"),
        where["object"].decode() if "object" in where else None,
        where.get("id"),
    )


def _attributes(uri: str, text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise TokenError("a PIN has no place in node.toml: write it into a file that only the node may read, and"
                             " name that by pin-source=file:/…/pin")  # fmt: skip
        if not equals or name not in known or name in found:
            raise TokenError(f"{uri!r}: {name!r} is unknown here, or comes twice; known are {', '.join(sorted(known))}")
        try:
            found[name] = unquote(value, errors="strict").encode() if name != "id" else _unquote_bytes(value)
        except (UnicodeError, ValueError) as error:
            raise TokenError(f"{uri!r}: {name!r} is not percent-encoded: {error}") from error
    return found


def _unquote_bytes(value: str) -> bytes:
    return unquote(value, encoding="latin-1").encode("latin-1")


async def sign_aside(key: keys.Signer, work: Callable[[], Signed]) -> Signed:
    """Return what *work* makes with *key*; where the key is in a token the event loop goes on meanwhile."""
    return await asyncio.to_thread(work) if isinstance(key, TokenKey) else work()


@dataclass(slots=True)
class _Token:
    """One open session: a token knows its user once a process, and a session does one thing at a time."""

    session: pkcs11.Session
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """An Ed25519 key in a token. `sign` waits for the device: call it by `sign_aside`."""

    public_key: bytes
    place: KeyPlace
    _token: _Token = field(repr=False, compare=False)
    _handle: Any = field(repr=False, compare=False)

    @property
    def key_id(self) -> bytes:
        """The 8-byte COSE `kid` of this key."""
        return keys.key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of *message*; raises TokenError where the token gives none that holds."""
        from pkcs11 import Mechanism, PKCS11Error  # noqa: PLC0415  # without a token nobody needs the library

        try:
            with self._token.lock:
                signature: bytes = self._handle.sign(message, mechanism=Mechanism.EDDSA)
        except PKCS11Error as error:
            raise TokenError(
                f"{self.place} does not sign ({_name(error)}): see to the token, then restart the node"
            ) from error
        if not keys.verify(self.public_key, message, signature):
            raise TokenError(f"{self.place} signs with another key than its public one: write the key pair anew")
        return signature


class Tokens:
    """The tokens of one node, each opened once."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, str | None, bytes | None], _Token] = {}

    def key(self, place: KeyPlace) -> TokenKey:
        """Return the key at *place*, after logging in to its token where that is still to do; raises TokenError."""
        from pkcs11 import PKCS11Error  # noqa: PLC0415

        try:
            token = self._token(place)
            return _find_key(token, place)
        except PKCS11Error as error:
            raise TokenError(f"{place}: {_advice(error, place)}") from error

    def _token(self, place: KeyPlace) -> _Token:
        at = (place.module, place.token, place.serial)
        if at not in self._open:
            self._open[at] = _Token(_log_in(place))
        return self._open[at]


def _log_in(place: KeyPlace) -> pkcs11.Session:
    import pkcs11  # noqa: PLC0415

    pin = _read_pin(place.pin_file)
    found = pkcs11.lib(str(place.module)).get_token(token_label=place.token, token_serial=place.serial)
    try:
        return found.open(user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:
        return found.open()


def _find_key(token: _Token, place: KeyPlace) -> TokenKey:
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415

    with token.lock:
        handle, public = (
            token.session.get_key(half, KeyType.EC_EDWARDS, place.object, place.id)
            for half in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
        )
        point = bytes(public[Attribute.EC_POINT])
    if len(point) == keys.PUBLIC_KEY_BYTES + len(_POINT_HEAD):
        point = point.removeprefix(_POINT_HEAD)
    if len(point) != keys.PUBLIC_KEY_BYTES:
        raise TokenError(f"{place} is no Ed25519 key: make one of type EC:edwards25519")
    return TokenKey(point, place, token, handle)


def _read_pin(path: Path) -> str:
    try:
        with path.open("rb") as file:
            pin = file.read(MAX_PIN_BYTES).decode().strip()
    except OSError as error:
        raise TokenError(f"cannot read the PIN file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenError(f"the PIN file {path} is not text") from error
    if not pin:
        raise TokenError(f"the PIN file {path} is empty: write the token's user PIN into it")
    return pin


def _advice(error: Exception, place: KeyPlace) -> str:
    """Say what to do about what the library says."""
    name = _name(error)
    known: Mapping[str, str] = {
        "PinIncorrect": f"wrong PIN: mend {place.pin_file} before the token locks itself",
        "PinLocked": "the PIN is locked after too many wrong ones: unlock it with the security officer's",
        "NoSuchToken": f"no such token: plug it in, or list them with `pkcs11-tool --module {place.module} -L`",
        "MultipleTokensReturned": "several tokens have this label: name one by serial=NUMBER",
        "NoSuchKey": "no such Ed25519 key pair (private and public key) in the token: compare object= and id=",
        "MultipleObjectsReturned": "several keys fit: name one by id= too",
    }
    return known.get(name, f"{name} {error} (library {place.module})")


def _name(error: Exception) -> str:
    return type(error).__name__
