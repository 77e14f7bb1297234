"""When an authority may sign (LEDGER rules 10 and 11): one value for one slot, and nothing it might have said before.

Pure decisions, the same for the real node (`ledger.node`) and the simulated one; both keep `sign_state` in their way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.errors import LedgerError

UNSIGNED_HEIGHTS: Final = 2
"""A node without its data signs neither at the height that was in progress when it came, nor at the next."""


class DoubleSigningError(LedgerError):
    """This node was about to sign a second value for one height, round and type; it must stop signing."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signed value as `sign_state` keeps it: `value` must never change for its slot, `message` is what was sent."""

    value: bytes
    message: bytes


def choose(stored: Signature | None, fresh: Signature, what: str) -> Signature:
    """Return which of the two goes out: what is *stored* for the slot, or the *fresh* one where nothing is.

    Raises DoubleSigningError where they say different things; *what* names the slot, as "prevote at height 7, round 2".
    """
    if stored is None:
        return fresh
    if stored.value != fresh.value:
        raise DoubleSigningError(
            f"refused to sign a second {what}: this node stops signing; check that no other node runs with its key"
        )
    return stored


def first_height_to_sign(heights_in_progress: Iterable[int]) -> int:
    """Return from which height on a node signs whose memory of what it signed is not whole (wiped, restored).

    *heights_in_progress* are what W or more peers reported: one of them is correct, so nothing that this node signed
    and forgot lies beyond the highest by more than one height.
    """
    return max(heights_in_progress) + UNSIGNED_HEIGHTS
