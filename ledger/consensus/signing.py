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


def first_height_to_sign(height: int, reported: Iterable[int], quorum: int) -> int | None:
    """Return from which height on a node signs whose memory of what it signed is not whole (wiped, restored).

    None: it cannot tell yet. *height* is in progress here. *reported* holds for each *other* authority in force, whose
    own memory is whole, a height that it said was in progress since this node started.

    Why it is sound: say this node had signed at height h and forgot. Then it had decided h - 1, with precommits of Q
    authorities. Q others that answer now share 2Q - n > f of them, all but this node: one is correct, remembers, and
    has said h - 1 or more. Fewer answers are not enough: of W, the correct one may be the one that lagged behind. To
    wait for Q costs nothing, as no height is decided without them while this node is silent; and a Byzantine peer that
    reports too much holds this node up for no longer than it does so.
    """
    if sum(one <= height for one in reported) < quorum:
        return None
    return height + UNSIGNED_HEIGHTS
