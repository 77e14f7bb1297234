"""Who may link to a node, and what the chain gives them a say in.

A link is accepted from the authorities and candidates on chain, and from whoever node.toml names. What belongs to
consensus is taken from authorities alone: one that was removed, if it is named, may go on copying blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ledger.node.chain import Position
from ledger.node.network.wire import FrameType

OF_CONSENSUS: Final = frozenset({FrameType.MESSAGE, FrameType.PROPOSAL, FrameType.CANDIDATE, FrameType.COSIGNATURE})


class Standing:
    """The names that count at the chain's newest position. `named` are those of node.toml."""

    def __init__(self, position: Callable[[], Position], named: Iterable[str]) -> None:
        self.named = frozenset(named)
        self._position = position
        self._seen: Position | None = None
        self._authorities: frozenset[str] = frozenset()

    @property
    def authorities(self) -> frozenset[str]:
        """The authorities of the newest height and of those ahead whose set is known."""
        position = self._position()
        if position is not self._seen:
            self._seen = position
            sets = position.sets.values()
            self._authorities = frozenset(member.name for authorities in sets for member in authorities.members)
        return self._authorities

    def is_on_chain(self, name: str) -> bool:
        """Tell whether *name* is an authority's or a candidate's."""
        return name in self.authorities or name in self._position().candidates

    def may_link(self, name: str) -> bool:
        """Tell whether a node that shows a certificate for *name* is listened to."""
        return name in self.named or self.is_on_chain(name)

    def may_say(self, name: str, kind: FrameType) -> bool:
        """Tell whether a frame of *kind* counts when it comes from *name*."""
        return kind not in OF_CONSENSUS or name in self.authorities
