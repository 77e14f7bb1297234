"""Passwords: what makes one acceptable, and Argon2id over it, a few at a time, off the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from nacl import pwhash
from nacl.exceptions import InvalidkeyError

from gateway.errors import AccessError, BusyError

P = ParamSpec("P")
R = TypeVar("R")
MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 256
MIN_DIFFERENT: Final = 5
PARALLEL: Final = 2
"""Hashes computed at one time; each takes 64 MiB."""
MAX_WAITING: Final = 16
_OPERATIONS: Final = pwhash.argon2id.OPSLIMIT_INTERACTIVE
_MEMORY_BYTES: Final = pwhash.argon2id.MEMLIMIT_INTERACTIVE


def check(password: str, name: str) -> None:
    """Raise AccessError, which says what is wrong, unless *password* is fit for the person called *name*."""
    if len(password) < MIN_CHARACTERS:
        raise AccessError(f"the password has fewer than {MIN_CHARACTERS} characters; choose a longer one")
    if len(password) > MAX_CHARACTERS:
        raise AccessError(f"the password has more than {MAX_CHARACTERS} characters; choose a shorter one")
    if len(set(password)) < MIN_DIFFERENT:
        raise AccessError(f"the password has fewer than {MIN_DIFFERENT} different characters; choose another one")
    if name.casefold() in password.casefold() and len(password) < MIN_CHARACTERS + len(name):
        raise AccessError("the password is little more than the name; choose another one")


class Hasher:
    """Computes and verifies Argon2id strings; a verification takes as long whether there is a person or not."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(PARALLEL)
        self._waiting = 0
        self._decoy: bytes | None = None

    async def hash(self, password: str) -> str:
        """Return the Argon2id string of *password*; raises BusyError when too many wait."""
        return (await self._work(_hash, password)).decode()

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether *stored* is of *password*; None is of no password. Raises BusyError when too many wait."""
        if self._decoy is None:
            self._decoy = await self._work(_hash, secrets.token_hex())
        target = self._decoy if stored is None else stored.encode()
        return await self._work(_verify, target, password[:MAX_CHARACTERS]) and stored is not None

    async def _work(self, function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        if self._waiting >= MAX_WAITING:
            raise BusyError("too many passwords are being checked at this moment; try again in a few seconds")
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(function, *arguments, **options)
        finally:
            self._waiting -= 1


def _hash(password: str) -> bytes:
    return pwhash.argon2id.str(_octets(password), opslimit=_OPERATIONS, memlimit=_MEMORY_BYTES)


def _verify(stored: bytes, password: str) -> bool:
    try:
        return pwhash.argon2id.verify(stored, _octets(password))
    except InvalidkeyError:
        return False


def _octets(password: str) -> bytes:
    """Return *password* as it is hashed: composed (NFC), so that one keyboard writes what another one wrote."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "replace")
