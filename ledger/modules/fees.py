"""The fee of a call: a parameter, paid to the grid account before the call is made, whether or not it is done.

Accounts that serve the others pay none, nor does a call that is declared free: a meter's report, or the rescue of a
key, must not depend on money. An agent's fee is its user's, and counts against its limit for the epoch at hand: a
stolen agent's key cannot spend more by calls that are refused than by orders.
"""

from __future__ import annotations

from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import money
from ledger.modules.module import CallDefinition, Context
from ledger.modules.registry.delegations import find_user, spend

EXEMPT: Final = Role.ADMIN | Role.GATEWAY | Role.AUTHORITY | Role.GRID | Role.OPERATOR | Role.MARKET_MAKER


def charge(context: Context, call: CallDefinition) -> Refusal | None:
    """Take the fee of *call* from its sender, or return why it cannot be paid."""
    fee_aaip = context.parameters.call_fee_aaip
    if not fee_aaip or call.is_free or context.roles & EXEMPT:
        return None
    payer = _find_payer(context)
    refusal = money.refuse_spending(context.state, payer, fee_aaip)
    if refusal is None and payer != context.sender:
        refusal = spend(context, context.sender, context.time_s // context.parameters.epoch_s, fee_aaip)
    if refusal is not None:
        return Refusal(Code.FEE_UNPAID, f"the fee of {fee_aaip} aAIP cannot be paid: {refusal.text}")
    money.pay(context.state, payer, context.genesis.grid_account, fee_aaip)
    context.emit("money", "fee_paid", account=payer, amount_aaip=fee_aaip)
    return None


def _find_payer(context: Context) -> bytes:
    """Return the sender, or the user of an agent: one whose delegation is over pays itself, and has nothing."""
    user = find_user(context, context.sender) if Role.AGENT in context.roles else None
    return context.sender if user is None else user
