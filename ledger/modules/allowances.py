"""Allowances of a token (PSP22): how much of an owner's tokens a spender may move, under owner ‖ spender."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.codes import Code, Refusal
from ledger.modules import accounts
from ledger.modules.kinds import MAX_AMOUNT
from ledger.state import Overlay, Reader, Table


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of it, in base units."""

    amount: int


AllowanceTable = Table[Allowance]


def find(view: Reader, table: AllowanceTable, owner: bytes, spender: bytes) -> int:
    """Return how much *spender* may move of what *owner* has."""
    row = view.get(table, owner + spender)
    return row.amount if row else 0


def set_to(state: Overlay, table: AllowanceTable, owner: bytes, spender: bytes, amount: int) -> Refusal | None:
    """Let *spender* move *amount*, whatever it was before; 0 takes the allowance back."""
    if owner == spender:
        return Refusal(Code.SAME_ACCOUNT, "owner and spender are one account")
    if accounts.find(state, spender) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {spender.hex()}")
    if amount > MAX_AMOUNT:
        return Refusal(Code.ALLOWANCE_TOO_HIGH, f"an allowance is at most {MAX_AMOUNT}")
    if amount:
        state.put(table, owner + spender, Allowance(amount))
    else:
        state.delete(table, owner + spender)
    return None


def reduce(state: Overlay, table: AllowanceTable, owner: bytes, spender: bytes, amount: int) -> Refusal | None:
    """Take *amount* off what *spender* may move; refuses what is more than that."""
    left = find(state, table, owner, spender) - amount
    if left < 0:
        text = f"account {spender.hex()} may move {left + amount} of {owner.hex()}'s, not {amount}"
        return Refusal(Code.ALLOWANCE_TOO_LOW, text)
    return set_to(state, table, owner, spender, left)
