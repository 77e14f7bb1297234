"""Accounts that serve the others: gateways, oracle operators and market makers by admins, admins by the authorities."""

from __future__ import annotations

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.approvals import decision
from ledger.modules.kinds import AccountId, PublicKey
from ledger.modules.module import Context
from ledger.modules.registry.tables import OPERATORS, Operator, module
from ledger.state import Overlay, Reader

SERVICES = Role.GATEWAY | Role.OPERATOR | Role.MARKET_MAKER


@module.call(Role.ADMIN)
def register_gateway(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Make an account that may report intervals of every meter."""
    return _register(context, account, public_key, Role.GATEWAY)


@module.call(Role.ADMIN)
def register_operator(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Make an account that answers the oracle's requests for data that nobody signs at its source."""
    return _register(context, account, public_key, Role.OPERATOR)


@module.call(Role.ADMIN)
def register_market_maker(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Make an account that may have overdue work done by the oracle's `perform_upkeep`."""
    return _register(context, account, public_key, Role.MARKET_MAKER)


@module.call(Role.ADMIN)
def dismiss(context: Context, account: AccountId) -> Refusal | None:
    """Take the roles of gateway, operator and market maker from an account, such as one whose key was stolen."""
    row = accounts.find(context.state, account)
    if row is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {account.hex()}")
    if not Role(row.roles) & SERVICES:
        return Refusal(Code.NOTHING_TO_DISMISS, f"account {account.hex()} is no gateway, operator or market maker")
    accounts.withdraw(context.state, account, SERVICES)
    context.state.delete(OPERATORS, account)
    context.emit("registry", "dismissed", account=account)
    return None


@decision(module)
def appoint_admin(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Make an account that enrols users and meters."""
    return _register(context, account, public_key, Role.ADMIN)


@decision(module)
def dismiss_admin(context: Context, account: AccountId) -> Refusal | None:
    """Take the role of admin from an account."""
    if not accounts.has_role(context.state, account, Role.ADMIN):
        return Refusal(Code.NOTHING_TO_DISMISS, f"account {account.hex()} is no admin")
    accounts.withdraw(context.state, account, Role.ADMIN)
    context.emit("registry", "dismissed", account=account)
    return None


def count_operators(view: Reader) -> int:
    """Return how many accounts answer the oracle's requests."""
    return sum(1 for _ in view.scan(OPERATORS))


def list_operator(state: Overlay, account: bytes) -> None:
    """Count *account* among the operators."""
    state.put(OPERATORS, account, Operator())


def _register(context: Context, account: bytes, public_key: bytes, role: Role) -> Refusal | None:
    refusal = accounts.open_account(context.state, account, public_key, role)
    if refusal is None:
        if role is Role.OPERATOR:
            list_operator(context.state, account)
        context.emit("registry", f"{str(role.name).lower()}_registered", account=account)
    return refusal
