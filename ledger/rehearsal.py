"""A dry run: what a transaction would do if it stood alone in the next block. Nothing of it is kept.

The block's hooks are left out: a gate that closes in between, or a settlement, may still change the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.codes import Code, Refusal
from ledger.modules.module import Event
from ledger.preparation import prepare
from ledger.runtime import Runtime
from ledger.session import BlockTime, Session
from ledger.state import LedgerState


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The outcome on the state after block `height`. `fee_aaip` is the call's fee, which a refused call pays, too."""

    height: int
    code: Code
    text: str
    fee_aaip: int
    events: tuple[Event, ...]


def rehearse(runtime: Runtime, state: LedgerState, raw: bytes, now_ms: int) -> Rehearsal | Refusal:
    """Return what the encoded transaction would do at *now_ms*, or why no block may hold it; *state* stays as it is."""
    checked = runtime.check_transaction(state, raw)
    if isinstance(checked, Refusal):
        return checked
    parent = state.header
    when = BlockTime(parent.height + 1, max(now_ms, parent.time_ms + 1), None, ())
    outcome = Session(state, runtime.genesis, runtime.signatures, when).run(prepare(raw))
    fees = (dict(event.values) for event in outcome.events if (event.module, event.name) == ("money", "fee_paid"))
    fee_aaip = sum(fee["amount_aaip"] for fee in fees)
    return Rehearsal(parent.height, outcome.code, outcome.text, fee_aaip, outcome.events)
