"""A node's signatures: from keys in memory at once, from a token beside the event loop."""

from __future__ import annotations

import structlog

from ledger.block import Header
from ledger.consensus import messages
from ledger.consensus.messages import Message, Statement
from ledger.node.signers import hsm
from ledger.node.signers.cosigning import Cosigning
from ledger.node.signers.identity import Seat
from ledger.node.storage.store import Signed

log = structlog.get_logger("consensus")


class Signing:
    """Signs for the authority *name*. `fault` says why a token gave no vote when it was last asked.

    Without a signature the node goes on as if its message were lost: the token may be back for the next one.
    """

    def __init__(self, chain_id: bytes, name: str, cosigning: Cosigning) -> None:
        self.fault: str | None = None
        self._chain_id = chain_id
        self._name = name
        self._cosigning = cosigning

    async def sign_message(self, statement: Statement, seat: Seat) -> Message | None:
        """Return *statement* signed with the vote key of *seat*."""
        key = seat.keys.vote
        try:
            signed = await hsm.sign_aside(key, lambda: messages.sign(statement, self._chain_id, seat.place, key))
        except hsm.TokenError as error:
            self._note(error)
            return None
        self.fault = None
        return signed

    async def cosign(self, header: Header, seat: Seat, time_s: int) -> Signed | None:
        """Return the cosignature over the log after *header*."""
        key = seat.keys.cosign
        try:
            return await hsm.sign_aside(key, lambda: self._cosigning.sign(header, self._name, key, time_s))
        except hsm.TokenError as error:
            self._note(error)
            return None

    def _note(self, error: hsm.TokenError) -> None:
        self.fault = str(error)
        log.error("a signature is missing", reason=self.fault)
