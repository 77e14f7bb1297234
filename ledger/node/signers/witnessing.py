"""Outside witnesses (c2sp.org/tlog-witness) are asked to cosign the log's checkpoints, beside the authorities.

Nothing waits for them: now and then the newest provable checkpoint is shown to all at once, one that fails is left
alone for a while, and what they signed is kept for whoever demands a quorum of witnesses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx
import structlog

from ledger import checkpoint, keys, merkle, tiles
from ledger.checkpoint import Checkpoint, SignatureLine, VerifierKey
from ledger.errors import LedgerError, MalformedError
from ledger.monitor import fork, witness
from ledger.node.settings import WitnessSettings
from ledger.node.signers.cosigning import Provable, decode_provable
from ledger.node.storage.disk import Disk
from ledger.node.storage.store import Store

META: Final = "witnessed"
ASK_EVERY_S: Final = 10.0
TIMEOUT_S: Final = 10.0
MAX_BACK_OFF_S: Final = 600.0
MAX_ANSWER_BYTES: Final = 4096
MAX_TRIES: Final = 2
"""The first may tell which checkpoint the witness remembers; the second proves what follows from there."""
FRESH_S: Final = 600
"""So long a checkpoint with witnesses is served before newer ones without."""

log = structlog.get_logger("witnesses")


class WitnessRefusalError(LedgerError):
    """A witness did not cosign; the text says what it answered."""


@dataclass(slots=True)
class Asked:
    """A witness: the size that it remembers, what it cosigned last, and how long it is left alone after failures."""

    url: str
    key: VerifierKey
    size: int = 0
    cosigned: Checkpoint | None = None
    line: SignatureLine | None = None
    failures: int = 0
    not_before_s: float = 0.0


class Witnessing:
    """Asks the witnesses of one node. `witnessed` is the newest checkpoint that most of them have cosigned."""

    def __init__(
        self,
        witnesses: Sequence[WitnessSettings],
        disk: Disk,
        provable: Callable[[], Provable | None],
        log_key: Callable[[], keys.PrivateKey],
        every_s: float = ASK_EVERY_S,
    ) -> None:
        self.witnesses: list[Asked] = []
        self.witnessed: Provable | None = None
        self._disk, self._provable, self._log_key, self._every_s = disk, provable, log_key, every_s
        self._changed = asyncio.Event()
        self.reload(witnesses)

    def reload(self, witnesses: Sequence[WitnessSettings]) -> None:
        """Ask these from now on, soon; what is known of one that was asked before stays."""
        known = {(one.url, one.key): one for one in self.witnesses}
        places = [(f"{str(one.url).rstrip('/')}/add-checkpoint", one.key) for one in witnesses]
        self.witnesses = [known.get(place) or Asked(*place) for place in places]
        self._changed.set()

    async def run(self) -> None:
        """Ask again and again, until cancelled; what was kept before is served at once."""
        self.witnessed = await self._disk.read(stored)
        while True:
            self._changed.clear()
            await self.drop_strangers()
            if self.witnesses:
                await self._ask_until_changed()
            else:
                await self._changed.wait()

    async def drop_strangers(self) -> None:
        """Serve no longer what a witness signed that node.toml does not name any more."""
        held = self.witnessed
        if held is None:
            return
        authority = checkpoint.cosigner_name(held.checkpoint.origin, "")
        others = [line for line in held.lines if not line.name.startswith(authority)]
        keys_named = [one.key for one in self.witnesses]
        if not all(any(checkpoint.is_signed(held.checkpoint, line, key) for key in keys_named) for line in others):
            self.witnessed = None
            await self._disk.commit(lambda store: store.delete_meta(META))

    async def ask_all(self, http: httpx.AsyncClient) -> None:
        """Show the newest provable checkpoint to every witness that has not cosigned it, and keep what came of it."""
        provable, now_s = self._provable(), time.monotonic()
        if provable is None:
            return
        note = provable.checkpoint
        due = [one for one in self.witnesses if one.cosigned != note and one.not_before_s <= now_s]
        await asyncio.gather(*(self._ask(http, one, provable) for one in due))
        lines = tuple(one.line for one in self.witnesses if one.cosigned == note and one.line is not None)
        found = Provable(note, (*provable.lines, *checkpoint.in_order(lines)))
        if lines and found != self.witnessed and self._is_better(found):
            self.witnessed, encoded = found, found.encode()
            await self._disk.commit(lambda store: store.set_meta(META, encoded))

    async def _ask_until_changed(self) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
            while not self._changed.is_set():
                await self.ask_all(http)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._every_s)

    def _is_better(self, found: Provable) -> bool:
        """Tell whether as many signed *found* as what is served, which counts for nothing once it is old."""
        held = self.witnessed
        return held is None or len(found.lines) >= len(held.lines) or not held.is_fresh(time.time(), FRESH_S)

    async def _ask(self, http: httpx.AsyncClient, one: Asked, provable: Provable) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                line = await self._cosign(http, one, provable)
        except (httpx.HTTPError, WitnessRefusalError, TimeoutError) as error:
            one.failures += 1
            one.not_before_s = time.monotonic() + min(MAX_BACK_OFF_S, self._every_s * 2**one.failures)
            if one.failures == 1:
                log.warning("no cosignature", witness=one.key.name, reason=str(error) or type(error).__name__)
            return
        if line is None:
            return
        if one.failures:
            log.info("the witness cosigns again", witness=one.key.name, failures=one.failures)
        one.cosigned, one.line, one.size, one.failures = provable.checkpoint, line, provable.checkpoint.size, 0

    async def _cosign(self, http: httpx.AsyncClient, one: Asked, provable: Provable) -> SignatureLine | None:
        """Return the witness's cosignature; it says itself from which size on it must be shown what follows.

        None where it has seen more than is provable here yet: another authority was faster, so the next one may do.
        """
        signed, size = fork.parse_note(provable.note(self._log_key())), provable.checkpoint.size
        for _ in range(MAX_TRIES):
            path = await self._disk.read(partial(_path, old_size=one.size, size=size))
            status, text = await _post(http, one.url, witness.write_submission(one.size, path, signed))
            if status == HTTPStatus.OK:
                return _find_line(provable.checkpoint, text, one.key, time.time())
            if status != HTTPStatus.CONFLICT:
                raise WitnessRefusalError(f"it answered {status}: {text[:200].strip()}")
            known = _read_size(text)
            if known > size:
                return None
            one.size = known
        raise WitnessRefusalError("it does not take what follows from the checkpoint that it says it remembers")


def served(provable: Provable | None, witnessed: Provable | None, now_s: float) -> Provable | None:
    """Return which checkpoint outsiders are shown: one with witnesses, unless it is old and there is a newer one."""
    if provable is None or witnessed is None:
        return provable
    is_newest = witnessed.checkpoint == provable.checkpoint
    return witnessed if is_newest or witnessed.is_fresh(now_s, FRESH_S) else provable


def stored(store: Store) -> Provable | None:
    """Return the checkpoint with witnesses that a node has kept."""
    found = store.meta(META)
    return None if found is None else decode_provable(found)


def _path(store: Store, old_size: int, size: int) -> tuple[bytes, ...]:
    if old_size in (0, size):
        return ()
    return tuple(merkle.consistency_path(old_size, size, tiles.hashes_in(store.tree_hashes)))


async def _post(http: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, str]:
    data = bytearray()
    async with http.stream("POST", url, content=body) as answer:
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise WitnessRefusalError(f"it answered more than {MAX_ANSWER_BYTES} bytes")
    return answer.status_code, data.decode(errors="replace")


def _find_line(note: Checkpoint, text: str, key: VerifierKey, now_s: float) -> SignatureLine:
    try:
        lines = checkpoint.parse_note(f"{note}\n{text}")[1]
    except MalformedError as error:
        raise WitnessRefusalError(f"it answered no cosignature: {error}") from error
    for line in lines:
        if checkpoint.is_signed(note, line, key):
            if checkpoint.read_time_s(line) > now_s + FRESH_S:
                raise WitnessRefusalError("its cosignature is of a time to come: look at both clocks")
            return line
    raise WitnessRefusalError(f"its cosignature does not verify with the key of {key.name} in node.toml")


def _read_size(text: str) -> int:
    plain = text.strip()
    if not (plain.isascii() and plain.isdecimal() and len(plain) < 19):
        raise WitnessRefusalError("it answered 409 without the size that it remembers")
    return int(plain)
