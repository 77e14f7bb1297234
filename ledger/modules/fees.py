"""The fee of a call: a parameter, paid to the grid account before the call is made, whether or not it is done.

Accounts that serve the others pay none, nor does a call that is declared free: a meter's report, or the rescue of a
key, must not depend on money. An agent's fee is its user's.
"""

from __future__ import annotations

from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import money
from ledger.modules.module import CallDefinition, Context
from ledger.modules.registry.tables import DELEGATIONS

EXEMPT: Final = Role.ADMIN | Role.GATEWAY | Role.AUTHORITY | Role.GRID | Role.OPERATOR | Role.MARKET_MAKER


def charge(context: Context, call: CallDefinition) -> Refusal | None:
    """Take the fee of *call* from its sender, or return why it cannot be paid."""
    fee_aaip = context.parameters.call_fee_aaip
    if not fee_aaip or call.is_free or context.roles & EXEMPT:
        return None
    delegation = context.state.get(DELEGATIONS, context.sender) if Role.AGENT in context.roles else None
    payer = delegation.user if delegation is not None else context.sender
    refusal = money.refuse_spending(context.state, payer, fee_aaip)
    if refusal is not None:
        return Refusal(Code.FEE_UNPAID, f"the fee of {fee_aaip} aAIP cannot be paid: {refusal.text}")
    money.pay(context.state, payer, context.genesis.grid_account, fee_aaip)
    context.emit("money", "fee_paid", account=payer, amount_aaip=fee_aaip)
    return None
