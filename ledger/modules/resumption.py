"""Resumptions: that the authorities went on from a block of which too many of them had lost what they signed after it.

A node that lost data signs nothing until Q others have told it what it may have signed. Where so many lost it that no
Q others are left, nobody would ever sign again. Then the institutions agree on the newest block that is left and say so
with the call `record`, signed by Q of them: their nodes take the signed calls themselves as the permission to go on
(`node.recovery.resuming`) and bring them into the chain, where everybody can see for ever where it may have been cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ledger.codes import Code, Refusal
from ledger.modules.anchors import block_id_at
from ledger.modules.approvals import decision
from ledger.modules.kinds import Height, Secret
from ledger.modules.module import Context, Look, Module
from ledger.state import Table


@dataclass(frozen=True, slots=True)
class Resumption:
    """The block that the authorities went on from, and the height of the block that recorded it. Kept for ever."""

    block_id: bytes
    recorded_at: int


RESUMPTIONS: Final = Table("resumption.resumptions", Resumption)

module = Module("resumption", tables=(RESUMPTIONS,))


@decision(module)
def record(context: Context, height: Height, block_id: Secret) -> Refusal | None:
    """Record that the authorities went on from block *height*, after too many of them had lost what came after it."""
    if block_id_at(context.state, height) != block_id:
        return Refusal(Code.UNKNOWN_BLOCK, f"{block_id.hex()} is not the id of block {height}, or that is long ago")
    context.state.put(RESUMPTIONS, height.to_bytes(8, "big"), Resumption(block_id, context.height))
    context.emit("resumption", "resumed", from_height=height, block_id=block_id)
    return None


@module.query()
def list_resumptions(look: Look) -> list[dict[str, Any]]:
    """Return every block from which the authorities went on after a loss, and when that was recorded."""
    return [
        {"height": int.from_bytes(key, "big"), "block_id": row.block_id, "recorded_at": row.recorded_at}
        for key, row in look.state.scan(RESUMPTIONS)
    ]
