"""Decisions of the authorities: a call that takes effect once Q of them have sent it with the same arguments.

    @decision(module)
    def issue(context: Context, to: AccountId, amount_aaip: Amount) -> Refusal | None:
        \"\"\"Issue AIP.\"\"\"

declares the call `issue(reference, to, amount_aaip)`. The reference names the decision, as the institutions' minutes
do, and is decided once: a late approval of it is refused, and changes nothing. Every approval is tried out, so that a
decision that could not be carried out is refused to the first who asks for it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ledger import cbor
from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules.kinds import MAX_REFERENCE_CHARACTERS, Text
from ledger.modules.module import CallDefinition, CallFunction, Context, Module, read_arguments
from ledger.state import Overlay, Reader, Table, authorities_at

PERIOD_MS: Final = 7 * 86_400_000
"""How long approvals count, and for how long a decided reference is remembered."""
MAX_OPEN_PER_AUTHORITY: Final = 16
REFERENCE: Final = Text(MAX_REFERENCE_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision under the hash of what is decided: who approved, since when; `decided_at` is a height, or 0."""

    call: str
    reference: str
    arguments: bytes
    opened_at_ms: int
    approved_by: tuple[bytes, ...]
    decided_at: int


DECISIONS: Final = Table("governance.decisions", Decision)


def decision(module: Module) -> Callable[[CallFunction], CallFunction]:
    """Declare the decorated function a call of *module* that takes effect by the approvals of Q authorities."""

    def declare(function: CallFunction) -> CallFunction:
        name = function.__name__
        module.calls[name] = CallDefinition(
            module.name,
            name,
            (("reference", REFERENCE), *read_arguments(function)),
            Role.AUTHORITY,
            f"{inspect.getdoc(function)}\n\nTakes effect once Q authorities have sent it with the same arguments.",
            partial(_approve, module.name, function),
        )
        return function

    return declare


def list_decisions(view: Reader, time_ms: int) -> list[Decision]:
    """Return the decisions that approvals are gathered for, and those of the last PERIOD_MS."""
    return [row for _, row in view.scan(DECISIONS) if time_ms <= row.opened_at_ms + PERIOD_MS]


def _approve(
    module: str, function: CallFunction, context: Context, reference: str, *arguments: cbor.Value
) -> Refusal | None:
    """Count the sender's approval, and carry the decision out if it is the Qth."""
    call, authorities = f"{module}.{function.__name__}", authorities_at(context.state, context.height)
    members = {member.id for member in authorities.members}
    if context.sender not in members:
        return Refusal(Code.NOT_PERMITTED, f"account {context.sender.hex()} is no authority in force")
    _forget_old(context)
    encoded = cbor.encode(list(arguments))
    key = hashlib.sha256(cbor.encode([call, reference, encoded])).digest()
    row = context.state.get(DECISIONS, key) or Decision(call, reference, encoded, context.time_ms, (), 0)
    refusal = _refuse(context, row) or _try_out(function, context, arguments)
    if refusal is not None:
        return refusal
    row = replace(row, approved_by=(*row.approved_by, context.sender))
    present = members.intersection(row.approved_by)  # an approval of somebody who is no authority any more is none
    is_decided = len(present) >= authorities.quorum
    context.emit(
        module, "approved", call=call, reference=reference, authority=context.sender, approvals=len(present),
        needed=authorities.quorum,
    )  # fmt: skip
    context.state.put(DECISIONS, key, replace(row, decided_at=context.height if is_decided else 0))
    return function(context, *arguments) if is_decided else None


def _refuse(context: Context, row: Decision) -> Refusal | None:
    name = f"{row.call} {row.reference!r}"
    if row.decided_at:
        return Refusal(Code.ALREADY_DECIDED, f"{name} was decided in block {row.decided_at}")
    if context.sender in row.approved_by:
        return Refusal(Code.ALREADY_APPROVED, f"you have approved {name} already; the others must, too")
    opened = (one for _, one in context.state.scan(DECISIONS) if one.approved_by[0] == context.sender)
    if not row.approved_by and sum(not one.decided_at for one in opened) >= MAX_OPEN_PER_AUTHORITY:
        return Refusal(Code.TOO_MANY_DECISIONS, f"you have asked for {MAX_OPEN_PER_AUTHORITY} decisions already")
    return None


def _try_out(function: CallFunction, context: Context, arguments: tuple[cbor.Value, ...]) -> Refusal | None:
    """Return why the decision could not be carried out now; whatever trying it changed is undone."""
    state, events, records = context.state, len(context.events), len(context.records)
    mark = state.mark()
    refusal = function(context, *arguments)
    state.roll_back(mark)
    del context.events[events:], context.records[records:]
    return refusal


def _forget_old(context: Context) -> None:
    state: Overlay = context.state
    for key, row in state.scan(DECISIONS):
        if context.time_ms > row.opened_at_ms + PERIOD_MS:
            state.delete(DECISIONS, key)
