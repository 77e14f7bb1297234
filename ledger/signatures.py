"""Signature checks that are made once: a bounded memory of verdicts, filled in batches.

Signatures are nine tenths of a block's cost. The mempool, a proposal and its execution ask about the same bytes; the
verdict depends on nothing but bytes and key, so remembering it changes no result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from itertools import islice
from threading import Lock
from typing import Final

from ledger import envelope

MAX_VERDICTS: Final = 65_536
MAX_KEPT_WHOLE: Final = 256
"""Bytes of an envelope that is kept itself: transfers and readings are shorter."""
_BATCH: Final = 64


class SignatureCache:
    """Verdicts about envelopes, keyed by envelope ‖ public key, or its hash; the oldest go when it is full."""

    def __init__(self, limit: int = MAX_VERDICTS) -> None:
        """Remember at most *limit* verdicts."""
        self._limit = limit
        self._verdicts: dict[bytes, bool] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """Return how many verdicts are remembered."""
        return len(self._verdicts)

    def is_signed_by(self, raw: bytes, public_key: bytes) -> bool:
        """Tell whether the canonical envelope *raw* is signed by *public_key*."""
        place = _place(raw, public_key)
        verdict = self._verdicts.get(place)
        if verdict is None:
            verdict = envelope.is_signed_by(raw, public_key)
            self._remember((place,), (verdict,))
        return verdict

    def check_all(self, pairs: Iterable[tuple[bytes, bytes]], pool: Executor | None) -> None:
        """Judge all (canonical envelope, public key) *pairs* that are new, over *pool*'s threads where there is one."""
        fresh = {place: pair for pair in pairs if (place := _place(*pair)) not in self._verdicts}
        places = list(fresh)[: self._limit]
        batches = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
        tasks = [[fresh[place] for place in batch] for batch in batches]
        verdicts = map(_judge, tasks) if pool is None or len(tasks) == 1 else pool.map(_judge, tasks)
        for batch, judged in zip(batches, verdicts, strict=True):
            self._remember(batch, judged)

    def _remember(self, places: Sequence[bytes], verdicts: Sequence[bool]) -> None:
        with self._lock:  # a block may be executed in one thread while another asks about what it admits
            self._verdicts.update(zip(places, verdicts, strict=True))
            for oldest in list(islice(self._verdicts, max(0, len(self._verdicts) - self._limit))):
                del self._verdicts[oldest]


def _judge(pairs: list[tuple[bytes, bytes]]) -> list[bool]:
    return [envelope.is_signed_by(raw, public_key) for raw, public_key in pairs]


def _place(raw: bytes, public_key: bytes) -> bytes:
    """Return the key of a verdict: short bytes as they are, which costs less than to hash them."""
    place = raw + public_key
    return place if len(raw) <= MAX_KEPT_WHOLE else hashlib.sha256(place).digest()
